"""The server as a process of its own, over a real socket."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import IO, Any

HEADERS = {"Content-Type": "application/fhir+json"}
STARTS_WITHIN = 60.0


class Process:
    """A server of its own; ``port`` is where it listens."""

    def __init__(
        self,
        store: str,
        *flags: str,
        stderr: IO[bytes] | None = None,
        tls: ssl.SSLContext | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """``tls``: what a client connects with, where the listener has TLS."""
        self.tls = tls
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "fhir_server", "serve", "--store", store, "--port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=stderr or subprocess.DEVNULL,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
            | dict(variables or {}),
        )
        assert self.popen.stdout is not None
        match = re.search(rb"https?://127\.0\.0\.1:(\d+)/fhir", self.popen.stdout.readline())
        assert match is not None
        self.port = int(match[1])
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < end:
            try:
                if self.ask("GET", "/health").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def connect(self) -> HTTPConnection:
        if self.tls is not None:
            return HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.tls)
        return HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method: str, path: str, body: bytes | None = None) -> HTTPResponse:
        """Return an answer, read, over a connection of its own."""
        connection = self.connect()
        try:
            return said(connection, method, path, body)
        finally:
            connection.close()

    def raw(self, data: bytes) -> socket.socket:
        """Return a connection over which these bytes were sent."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.sendall(data)
        return client

    def kill(self) -> None:
        self.popen.kill()
        self._gone()

    def end(self) -> int:
        self.popen.terminate()
        return self._gone()

    def _gone(self) -> int:
        try:
            return self.popen.wait(30)
        finally:
            self.popen.kill()
            if self.popen.stdout is not None:
                self.popen.stdout.close()


def said(connection: HTTPConnection, method: str, path: str, body: Any = None) -> HTTPResponse:
    connection.request(method, path, body=body, headers=HEADERS if body is not None else {})
    answer = connection.getresponse()
    answer.text = answer.read()  # type: ignore[attr-defined]
    return answer
