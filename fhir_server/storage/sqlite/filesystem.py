"""Is the database on a disk of this machine? SQLite's locks and shared memory do not work across a network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fhir_server.storage.protocol import StoreUnavailable

NETWORK: Final = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gfs2", "glusterfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
"""Refused."""

DOUBTFUL: Final = frozenset({"9p", "drvfs", "fuse", "fuseblk", "vboxsf", "virtiofs", "vmhgfs"})
"""Shares between a machine and its host: they may or may not lock and flush as a disk does."""

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
