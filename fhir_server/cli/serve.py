"""serve: starts the server, and says in one sentence why when it cannot."""

from __future__ import annotations

import argparse
import asyncio
import logging
import logging.config
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import sleep
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server import __version__
from fhir_server.cli.flags import EVERY, add_flags, given_flags, log_configuration, prepare_store, settings_of
from fhir_server.cli.listening import contexts, listening, taken
from fhir_server.cli.speech import EXPECTED, complain, refuse, say
from fhir_server.outcome import FhirError
from fhir_server.settings import SETTINGS, Settings, StartError

HEALTH: Final = "/health"
"""Answers 200 once requests are served."""

EXAMPLES: Final = """\
examples:
  fhir-server serve --demo
      serve two real CPTS with fictitious members and a fictitious SOS Médecins, from ./data/cpts.sqlite
  fhir-server serve --store sqlite:/var/lib/fhir/cpts.sqlite --port 9000
      serve an own store, empty at first
  FHIR_LOG_LEVEL=warning fhir-server serve --workers 4
      every flag of "serve" is a variable too
"""

_log: Final = logging.getLogger("fhir_server")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    serve = commands.add_parser(
        "serve",
        usage="fhir-server serve [FLAG ...]",
        help="start the server (see: fhir-server serve --help)",
        description="Start the server. SIGTERM and Ctrl-C let running requests finish, then end it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.set_defaults(run=run)
    add_flags(serve, EVERY)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes, Ctrl-C too, which ends it as asked. Returns the exit code."""
    try:
        return _serve(options)
    except KeyboardInterrupt:
        return 0


def _serve(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    signal.signal(signal.SIGTERM, _leave)
    called = {setting.name: setting.given_as(given_flags(options)) for setting in SETTINGS}
    with listening(settings, called) as listeners:
        settings = taken(settings, listeners)
        contexts(settings)  # so that a wrong file is told here, once
        _export(settings)
        prepare_store(settings)
        logging.config.dictConfig(log_configuration(settings))
        if not settings.is_loopback:
            _warn_exposed(settings)
        if settings.demo:
            _load_demo(settings)
        threading.Thread(target=_announce, args=(settings,), daemon=True).start()
        return _run(settings, listeners)


def _run(settings: Settings, listeners: list[socket.socket]) -> int:
    """Serve until a signal comes, then drain. The parts of uvicorn are imported here, as late as the app."""
    from uvicorn import Config, Server  # noqa: PLC0415
    from uvicorn.supervisors import Multiprocess  # noqa: PLC0415

    from fhir_server.rest.protocol import BoundedProtocol  # noqa: PLC0415

    config = Config(
        "fhir_server.cli.serve:application",
        factory=True,
        http=BoundedProtocol,
        workers=settings.workers,
        loop="fhir_server.cli.loop:Loop",
        lifespan="on",
        ws="none",
        log_config=log_configuration(settings),
        access_log=False,
        server_header=False,
        proxy_headers=False,  # rest.forwarded reads them, and needs to know the peer
        timeout_keep_alive=75,  # longer than a proxy's, or the proxy reuses a connection while we close it
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    if settings.workers > 1:
        with suppress(SystemExit):
            if asyncio.run(_rehearse(application())):
                supervisor = Multiprocess(config, listeners)
                supervisor.run()
                return int(any(process.exitcode not in (0, -signal.SIGTERM) for process in supervisor.processes))
        return 1
    server = Server(config)
    with suppress(SystemExit):  # once drained, uvicorn raises the signal again
        server.run(listeners)
    return int(not server.started)


def application() -> ASGIApp:
    """Return the app for one worker; ends the process if it cannot be made, so that it is not tried for ever."""
    try:
        from fhir_server.app import create  # noqa: PLC0415 late: --help must be quick

        app = create()
    except EXPECTED as error:
        sys.exit(refuse(error, 3))
    except Exception:
        _log.critical("the server could not be made", exc_info=True)
        sys.exit(3)
    return _Startup(app)


class _Startup:
    """Passes everything to the app; an expected failure of its start-up is one sentence, another one is logged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_without_trace(message: Message) -> None:
            await send({name: value for name, value in message.items() if name != "message"})

        try:
            await self.app(scope, receive, send_without_trace)
        except EXPECTED as error:
            refuse(error, 3)
            raise
        except Exception:
            _log.critical("the server could not start or stop", exc_info=True)
            raise


async def _rehearse(app: ASGIApp) -> bool:
    """Start the app and stop it again: the store is made once, and one process tells what is wrong, not each worker."""
    told: list[str] = []
    events = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive() -> Message:
        return {"type": next(events)}

    async def send(message: Message) -> None:
        told.append(message["type"])

    with suppress(Exception):  # told by _Startup
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return "lifespan.startup.complete" in told


def _load_demo(settings: Settings) -> None:
    from tqdm import tqdm  # noqa: PLC0415 only here

    from fhir_server.app import load_demo  # noqa: PLC0415

    with tqdm(desc="Loading the demonstration", unit=" steps", disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            asyncio.run(load_demo(settings, show))
        except FhirError as error:
            told = error.issues[0].diagnostics  # the others are alike
            raise StartError(f"The demonstration cannot be loaded with these settings: {told}.") from None


# --- starting --------------------------------------------------------------------------------------------------------


def _export(settings: Settings) -> None:
    """Give the worker processes these very settings, whatever came by flag or by variable."""
    for setting in SETTINGS:
        os.environ.pop(setting.variable, None)
    os.environ.update(settings.to_environment())


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


# --- what a person reads ---------------------------------------------------------------------------------------------


def _announce(settings: Settings) -> None:
    """Print where the server is and what to try, once it has answered."""
    while not _answers(settings):
        sleep(0.1)
    base = settings.bases[0]
    lines = [
        f"fhir-server {__version__} answers at {base}",
        f"Every request it takes is described at {settings.origin}/docs",
        f"Resources are kept in {settings.store_shown}",
        "",
    ]
    if settings.sas_listen:
        lines[1:1] = [f"The SAS base paths are at {settings.sas_origin}, and there alone"]
    if settings.client_authorities:
        where = "Every path lets" if settings.clients_everywhere else "The SAS base paths let"
        lines.insert(-1, f"{where} in listed clients alone: curl needs a --cert and its --key")
    lines.append("Worth trying:")
    for title, url in _requests(settings, base):
        lines += ["", f"  {title}", f"  curl '{url}'"]
    say("\n".join([*lines, "", "Stop it with Ctrl-C."]))


def _requests(settings: Settings, base: str) -> Sequence[tuple[str, str]]:
    if settings.demo:
        from fhir_server.app import demo_requests  # noqa: PLC0415 late: --help must be quick

        return demo_requests(settings)
    return (
        ("What this server can do", f"{base}/metadata"),
        ("The practitioners it holds, 10 a page", f"{base}/Practitioner?_count=10"),
        ("Whether it is well", f"{settings.origin}{HEALTH}"),
    )


def _answers(settings: Settings) -> bool:
    place = urlsplit(settings.origin)
    connection = HTTPConnection(place.netloc, timeout=5)
    if place.scheme == "https":
        unverified = ssl._create_unverified_context()  # noqa: S323 it is our own, by another name
        connection = HTTPSConnection(place.netloc, timeout=5, context=unverified)
    try:
        connection.request("GET", HEALTH)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _warn_exposed(settings: Settings) -> None:
    text = (
        f"Unprotected: whoever reaches {settings.host}:{settings.port} can read, change and delete everything in "
        f"{settings.store_shown}."
    )
    if not settings.base_url:
        text += f" Links say {settings.bases[0]}: set FHIR_BASE_URL to the address that clients use."
    complain(text)
