"""Server processes: started, watched through /proc, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter, sleep
from typing import IO, Final

from benchmarks.client import HOST

BASE: Final = "/fhir"
"""The path of the FHIR base."""

_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 30


class ServerFailed(Exception):
    """The server did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers."""

    process: subprocess.Popen[bytes]
    port: int
    start_seconds: float
    """From before the process was made until its first answer was read."""

    def cpu_seconds(self) -> float:
        """Return the time that the process has computed so far; 0 where there is no /proc."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def spent(self, since: float, answers: int) -> str:
        """Tell how much it computed for each of so many answers, ``since`` an earlier ``cpu_seconds()``: a figure that
        other work on the machine hardly changes."""
        return f"{(self.cpu_seconds() - since) / answers * 1e6:.0f} µs of CPU each"

    def resident_bytes(self) -> int | None:
        """Return the memory that the process has in use (VmRSS), or None where there is no /proc."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


@contextmanager
def fhir_server(store: Path | str, *flags: str, first: str = "/health") -> Iterator[Server]:
    """Serve a store, the file of SQLite's or any by its URL, as ``fhir-server serve`` does by default; ``first`` is the
    path whose answer ends the start."""
    port = free_port()
    url = store if isinstance(store, str) else f"sqlite:{store}"
    command = [sys.executable, "-m", "fhir_server", "serve", "--store", url, "--port", str(port), *flags]
    with _process(command, port, first) as server:
        yield server


@contextmanager
def bare_server(store: Path) -> Iterator[Server]:
    """Serve ``benchmarks.bare``."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(store), str(port)]
    with _process(command, port, "/health") as server:
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(command: Sequence[str], port: int, first: str) -> Iterator[Server]:
    """Run a server process; its log goes to a file, as it would under a service manager."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    with TemporaryFile() as log:
        started = perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            _await_answer(process, port, first, log)
            yield Server(process, port, perf_counter() - started)
            if process.poll() is not None:
                raise ServerFailed(f"the server ended with code {process.returncode}:\n{_tail(log)}")
        finally:
            _stop(process)


def _await_answer(process: subprocess.Popen[bytes], port: int, path: str, log: IO[bytes]) -> None:
    deadline = perf_counter() + _START_SECONDS
    while perf_counter() < deadline:
        if process.poll() is not None:
            raise ServerFailed(f"the server ended with code {process.returncode}:\n{_tail(log)}")
        connection = HTTPConnection(HOST, port, timeout=_START_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException):
            sleep(0.002)
            continue
        finally:
            connection.close()
        if response.status != 200:
            raise ServerFailed(f"GET {path} was answered {response.status}: {text[:500].decode('utf-8', 'replace')}")
        return
    raise ServerFailed(f"the server did not answer within {_START_SECONDS} s:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end; make it end if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-20:])
