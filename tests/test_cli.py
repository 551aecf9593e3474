"""The command, as a person runs it: real sockets, real signals, a process of its own where more than a text comes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_server import __version__
from fhir_server.__main__ import main
from fhir_server.cli import serve
from fhir_server.cli.maintaining import told_beside
from fhir_server.cli.speech import complain, say
from fhir_server.settings import SETTINGS, Settings
from tests.command import command, environment, run

STAND_IN = """
import asyncio, sys, types
from fhir_server.settings import StartError
from fhir_server.storage.protocol import SchemaTooNew

mode = sys.argv.pop(1)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            if mode == "locked":
                await send({"type": "lifespan.startup.failed", "message": "Traceback of a thousand lines"})
                raise StartError("The store is locked by another program.")
            await send({"type": "lifespan.startup.complete"})
        print("closed", file=sys.stderr)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        print("slow begins", file=sys.stderr, flush=True)
        await asyncio.sleep(0.3)
    if scope["path"] == "/bug":
        raise ValueError("Jeanne DUPONT")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

def create():
    if mode == "too-new":
        raise SchemaTooNew("it has layout 9; this program knows layouts up to 1")
    return app

async def load_demo(settings, progress):
    for step in range(100):
        print("loading", step, file=sys.stderr, flush=True)
        progress(step + 1, 100)
        await asyncio.sleep(0.1 if mode == "slow-demo" else 0)

module = types.ModuleType("fhir_server.app")
module.create, module.load_demo = create, load_demo
sys.modules["fhir_server.app"] = module
from fhir_server.__main__ import main
sys.exit(main())
"""
"""The command around an app that does what ``mode``, its first argument, says."""


def started_and_ended(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


def serving(mode: str, *flags: str, cwd: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    return started("-c", STAND_IN, mode, "serve", "--port", "0", *flags, cwd=cwd)


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"fhir-server {__version__} answers at http://127.0.0.1:"), line
    return int(line.rsplit(":", 1)[1].split("/")[0])


def ask(url: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(url)
    assert parts.hostname
    connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"Content-Type": "application/fhir+json"} if body else {}
    connection.request("POST" if body else "GET", url.partition(parts.netloc)[2], body, headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-"])
def test_a_server_without_standard_error_serves(tmp_path: Path, closed: str) -> None:
    command = [sys.executable, "-c", STAND_IN, "plain", "serve", "--port", "0"]
    with subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        port_of(process)
        process.terminate()
        assert process.wait(timeout=30) == 0


def test_help_explains_the_commands_with_examples() -> None:
    result = started_and_ended("--help")
    assert result.returncode == 0
    assert "serve" in result.stdout
    assert "version" in result.stdout
    assert "fhir-server serve --demo" in result.stdout


def test_help_of_serve_lists_each_setting_with_its_variable_and_default(tmp_path: Path) -> None:
    text = " ".join(run(tmp_path, "serve", "--help").stdout.split())
    for setting in SETTINGS:
        assert setting.flag in text
        assert setting.is_secret != (f"{setting.variable}; default: " in text)


@pytest.mark.parametrize("words", ["version", "--version"])
def test_version_is_the_one_of_the_package(words: str) -> None:
    result = started_and_ended(words)
    assert result.returncode == 0
    assert result.stdout.startswith(f"fhir-server {__version__} (FHIR R4 4.0.1")


def test_ctrl_c_before_a_command_has_begun_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fhir_server.cli.load.sources", interrupted)
    assert main(["load", "a.json"]) == 130


def test_no_command_is_an_error_that_shows_the_usage() -> None:
    result = started_and_ended()
    assert result.returncode == 2
    assert result.stderr.startswith("usage: fhir-server")


@pytest.mark.parametrize(
    ("flags", "variables", "sentence"),
    [
        ((), {"FHIR_PROT": "1"}, "fhir-server: FHIR_PROT is not a setting of this server; did you mean FHIR_PORT?"),
        (("--port", "x"), {}, "fhir-server: --port: 'x' is not a whole number from 0 to 65535."),
        (
            ("--store", "mongodb://a:b@c"),
            {},
            "fhir-server: --store: mongodb:// names no database; give mongodb://HOST/NAME.",
        ),
    ],
)
def test_wrong_setting_is_one_sentence_and_exit_code_2(
    flags: tuple[str, ...], variables: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    result = run(tmp_path, "serve", *flags, **variables)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", sentence + "\n")
    assert not list(tmp_path.iterdir())


def test_listener_outside_this_machine_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "serve", "--host", "0.0.0.0")  # noqa: S104 it is refused
    assert result.returncode == 2
    assert "add --unprotected" in result.stderr
    assert result.stderr.count("\n") == 1


def test_port_in_use_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = started_and_ended("serve", "--port", str(port), cwd=tmp_path)
    expected = f"fhir-server: Port {port} of 127.0.0.1 is in use by another program; give another with --port.\n"
    assert (result.returncode, result.stderr) == (1, expected)


def test_port_of_the_sas_in_use_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run(tmp_path, "serve", "--port", "0", "--sas-listen", f"127.0.0.1:{port}")
    expected = f"fhir-server: Port {port} of 127.0.0.1 is in use by another program; give another with --sas-listen.\n"
    assert (result.returncode, result.stderr) == (1, expected)


def test_certificate_that_is_none_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "server.pem").touch()
    result = run(tmp_path, "serve", "--port", "0", "--tls-certificate", "server.pem")
    told = "server.pem cannot be read as a certificate and its key: there is no certificate in PEM"
    assert (result.returncode, result.stderr) == (2, f"fhir-server: TLS cannot be served: {told}.\n")


@pytest.mark.parametrize("flags", [("--types", "Slot"), ("--bundle-entries", "10"), ("--no-update-create",)])
def test_demonstration_that_the_settings_do_not_allow_is_one_sentence(flags: tuple[str, ...], tmp_path: Path) -> None:
    result = run(tmp_path, "serve", "--demo", "--port", "0", "--log-level", "error", *flags)
    assert result.returncode == 1
    assert result.stderr.startswith("fhir-server: The demonstration cannot be loaded with these settings: ")
    assert result.stderr.count("\n") == 1


def test_folder_that_cannot_be_made_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path, "serve", "--port", "0", "--store", "sqlite:file/folder/cpts.sqlite")
    assert result.returncode == 1
    assert result.stderr.startswith("fhir-server: The folder file/folder of the store cannot be made: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("locked", "fhir-server: The store is locked by another program.\n"),
        ("too-new", "fhir-server: The store cannot be used: it has layout 9; this program knows layouts up to 1.\n"),
    ],
)
def test_expected_failure_of_the_app_is_one_sentence_and_exit_code_1(mode: str, sentence: str, tmp_path: Path) -> None:
    with serving(mode, cwd=tmp_path) as process:
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (1, "", sentence)


def test_start_prints_base_url_and_three_requests_once_it_answers(tmp_path: Path) -> None:
    with serving("good", cwd=tmp_path) as process:
        port = port_of(process)
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/anything")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"done")
        assert answer.getheader("server") is None
        connection.close()
        assert process.stdout is not None
        lines = [next(process.stdout) for _ in range(15)]
    assert lines[:2] == [
        f"Every request it takes is described at http://127.0.0.1:{port}/docs\n",
        "Resources are kept in sqlite:./data/cpts.sqlite\n",
    ]
    assert sum(line.startswith(f"  curl 'http://127.0.0.1:{port}/") for line in lines) == 3
    assert lines[-1] == "Stop it with Ctrl-C.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_a_running_request_finish_and_ends_with_0(number: signal.Signals, tmp_path: Path) -> None:
    with serving("good", cwd=tmp_path) as process:
        assert process.stderr is not None
        connection = HTTPConnection("127.0.0.1", port_of(process), timeout=10)
        connection.request("GET", "/slow")
        assert process.stderr.readline() == "slow begins\n"
        process.send_signal(number)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"done")
        connection.close()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "closed\n")


def test_sigterm_while_the_demonstration_loads_ends_with_0(tmp_path: Path) -> None:
    with serving("slow-demo", "--demo", cwd=tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "loading 0\n"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "")
    assert "Traceback" not in errors


def test_unexpected_error_is_logged_with_its_trace_and_without_its_text(tmp_path: Path) -> None:
    with serving("good", "--log-format", "json", cwd=tmp_path) as process:
        connection = HTTPConnection("127.0.0.1", port_of(process), timeout=10)
        connection.request("GET", "/bug")
        assert connection.getresponse().status == 500
        connection.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    line = json.loads(errors.splitlines()[0])
    assert line["level"] == "error"
    assert line["exception"].splitlines()[-1] == "ValueError"
    assert "DUPONT" not in errors


def test_demonstration_answers_its_three_requests_and_keeps_what_was_written(tmp_path: Path) -> None:
    command = ("-m", "fhir_server", "serve", "--demo", "--port", "0")
    with started(*command, cwd=tmp_path) as process:
        base = f"http://127.0.0.1:{port_of(process)}/fhir"
        assert process.stdout is not None
        lines = [next(process.stdout) for _ in range(14)]
        urls = [line.split("'")[1] for line in lines if line.startswith("  curl ")]
        assert len(urls) == 3
        for url in urls:
            status, page = ask(url)
            assert (status, page["resourceType"]) == (200, "Bundle"), url
            assert page["total"] > 0, url
        status, created = ask(f"{base}/Organization", b'{"resourceType": "Organization", "name": "Haut-Doubs"}')
        assert status == 201
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with started(*command, cwd=tmp_path) as process:
        base = f"http://127.0.0.1:{port_of(process)}/fhir"
        status, read = ask(f"{base}/Organization/{created['id']}")
        assert (status, read["name"]) == (200, "Haut-Doubs")


def test_two_workers_serve_one_store_and_end_with_0(tmp_path: Path) -> None:
    with started("-m", "fhir_server", "serve", "--workers", "2", "--port", "0", cwd=tmp_path) as process:
        base = f"http://127.0.0.1:{port_of(process)}/fhir"
        for _ in range(6):
            assert ask(f"{base}/Organization", b'{"resourceType": "Organization", "name": "Haut-Doubs"}')[0] == 201
        assert ask(f"{base}/Organization?_summary=count")[1]["total"] == 6
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize(("everywhere", "where"), [("off", "The SAS base paths let"), ("on", "Every path lets")])
def test_start_tells_who_needs_a_certificate(
    everywhere: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.pem"
    file.touch()
    flags = {
        "tls_certificate": str(file),
        "client_authorities": str(file),
        "clients": "CN=sas.example.org,OU=1259999068",
        "clients_everywhere": everywhere,
    }
    monkeypatch.setattr(serve, "_answers", lambda _: True)
    serve._announce(Settings.read(flags, {}))
    assert f"{where} in listed clients alone: curl needs a --cert and its --key\n" in capsys.readouterr().out
    serve._announce(Settings.read({}, {}))
    assert "listed clients" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "tell"), [("stdout", say), ("stderr", complain), ("stderr", told_beside)])
def test_a_command_goes_on_when_its_reader_has_left(
    name: str, tell: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``| head`` leaves, or a pager that is closed."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", buffering=1, encoding="utf-8") as stream:
        monkeypatch.setattr(sys, name, stream)
        tell("a")
        assert os.read(reader, 10) == b"a\n"
        os.close(reader)
        tell("b")
        tell("c")
