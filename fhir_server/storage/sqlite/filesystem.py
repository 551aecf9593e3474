"""The disk below the database: is it one of this machine, is it full, why does it take no file?

SQLite's locks and shared memory do not work across a network.
"""

from __future__ import annotations

import errno
import sys
import tempfile
from pathlib import Path
from typing import Final

from fhir_server.storage.protocol import StoreUnavailable
from fhir_server.storage.sqlite.identity import log_of

if sys.platform != "win32":
    import resource

NETWORK: Final = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gfs2", "glusterfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
"""Refused."""

DOUBTFUL: Final = frozenset({"9p", "drvfs", "fuse", "fuseblk", "vboxsf", "virtiofs", "vmhgfs"})
"""Shares between a machine and its host: they may or may not lock and flush as a disk does."""

FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
PROBE_BYTES: Final = 65_536

MOUNTS: Final = Path("/proc/self/mounts")


def kind(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the type of the file system that holds the path; None where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found: tuple[int, str] | None = None
    for line in lines:
        _, where, type_, *_ = line.split(" ")
        place = Path(where.replace("\\040", " "))
        if path.is_relative_to(place) and (found is None or len(place.parts) >= found[0]):
            found = len(place.parts), type_
    return None if found is None else found[1]


def check(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return a warning for a doubtful place, or None; raise ``StoreUnavailable`` for a network file system."""
    found = kind(path.resolve(), mounts)
    if found in NETWORK:
        raise StoreUnavailable(f"{path} is on a network file system ({found}): keep the database on a local disk")
    if found in DOUBTFUL:
        return f"{path} is on a shared file system ({found}), which may lose writes: keep the database on a local disk"
    return None


def cannot_open(path: Path, error: OSError) -> StoreUnavailable:
    """Say why the system gives no file here, in one sentence."""
    return StoreUnavailable(f"{path} cannot be opened: {error.strerror or error}")


def is_full(database: Path) -> bool:
    """Tell whether the database can grow no more: SQLite says of a quota and of a limit only that a write failed."""
    if sys.platform != "win32":
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit != resource.RLIM_INFINITY and max(_size(database), _size(log_of(database))) + PROBE_BYTES > limit:
            return True
    try:
        with tempfile.TemporaryFile(dir=database.parent, buffering=0) as probe:
            left = PROBE_BYTES
            while left:
                left -= probe.write(bytes(left))
    except OSError as error:
        return error.errno in FULL
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
