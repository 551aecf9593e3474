"""What reads are compared with: a bare Starlette route over one SQLite table, served by uvicorn as the server is.

It answers the same bytes and nothing else: no ETag, no negotiation, no log line, no deletion, no versions.

    python -m benchmarks.bare STORE PORT
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.client import FHIR_JSON, HOST


def make_store(path: Path, bodies: dict[tuple[str, str], bytes]) -> None:
    """Write resources, (type, id) → JSON, into a new file."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE resource (type TEXT, id TEXT, body BLOB, PRIMARY KEY (type, id))")
    connection.executemany("INSERT INTO resource VALUES (?, ?, ?)", [(*key, body) for key, body in bodies.items()])
    connection.commit()
    connection.close()


def application(path: Path) -> Starlette:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    async def read(request: Request) -> Response:
        row = connection.execute(
            "SELECT body FROM resource WHERE type = ? AND id = ?",
            (request.path_params["type"], request.path_params["id"]),
        ).fetchone()
        return Response(status_code=404) if row is None else Response(row[0], media_type=FHIR_JSON)

    async def health(_request: Request) -> Response:
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/fhir/{type}/{id}", read), Route("/health", health)])


def main() -> None:
    store, port = Path(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(
        application(store),
        host=HOST,
        port=port,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()
