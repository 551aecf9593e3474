"""``fhir-server sas push-appointments`` as a person runs it: a process over a socket, killed at any moment."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from tests.france.sas.telling import told
from tests.rest.asking import Json, bundle, entry
from tests.rest.conftest import Server
from tests.rest.process import Process
from tests.rounds import FULL

ROUNDS = 10 if FULL else 1
MANY = 40
PUSH = ("sas", "push-appointments")


async def fill(store: str) -> dict[str, list[str]]:
    """Make a store with appointments that were booked and have ended; return what the platform is to know at last."""
    ends = ("fulfilled", "noshow", "cancelled")
    async with Server(store) as server:
        for status in ("booked", ""):
            entries = [
                entry("PUT", f"Appointment/a{n}", told(status or ends[n % 3], f"rdv-{n}", id=f"a{n}"))
                for n in range(MANY)
            ]
            assert (await server.http.post("", json=bundle("transaction", *entries))).status_code == 200
    return {f"rdv-{n}": [ends[n % 3]] for n in range(MANY)}


def start(*flags: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    arguments = [sys.executable, "-m", "fhir_server", *PUSH, *flags]
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def there(platform: Process, query: str) -> Json:
    answer = platform.ask("GET", f"/fhir/Appointment?{query}")
    page: Json = json.loads(answer.text)  # type: ignore[attr-defined]
    return page


def wait_for(platform: Process, count: int, running: subprocess.Popen[str]) -> None:
    """Wait until the platform has so many appointments, or the process has ended."""
    end = time.monotonic() + 120
    while there(platform, "_summary=count")["total"] < count and running.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.torture
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_killed_at_any_moment_there_is_one_appointment_in_its_last_state(store_url: str, folder: Path) -> None:
    expected, chance = await fill(store_url), random.Random(9)
    platform = Process(f"sqlite:{folder / 'platform.db'}", "--sas-rdv", "--no-definitions")
    try:
        flags = ("--store", store_url, "--to", f"http://127.0.0.1:{platform.port}/sas")
        for round_ in range(ROUNDS):
            running = start(*flags)
            wait_for(platform, (round_ + 1) * MANY // (ROUNDS + 1), running)
            await asyncio.sleep(chance.uniform(0.0, 0.05))
            running.kill()
            running.communicate()
        running = start(*flags)
        output, errors = running.communicate(timeout=120)
        assert (running.returncode, errors) == (0, "")
        assert output.endswith("sent, 0 refused, 0 that cannot be sent, 0 waiting.\n")
        found: dict[str, list[str]] = {}
        for one in there(platform, "_count=1000")["entry"]:
            found.setdefault(one["resource"]["identifier"][0]["value"], []).append(one["resource"]["status"])
        assert found == expected
    finally:
        platform.kill()


REFUSED = [
    (("--to", "ftp://x"), "is not an http or https URL"),
    (("--to", "https://me@x.example.org"), "is not an http or https URL"),
    (("--to", "http://sas.example.org"), "would not be encrypted"),
    (("--to", "https://sas.example.org"), "There is no store at"),
    (("--to", "https://sas.example.org", "--store", "mongodb://h/x"), "say with --journal"),
]


@pytest.mark.parametrize(("flags", "sentence"), REFUSED)
def test_what_cannot_be_is_one_sentence(
    flags: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--store" in flags:
        monkeypatch.setattr("fhir_server.app.is_there", lambda _: True)
    assert main([*PUSH, *flags]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_files_of_tls_come_by_flag_or_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fhir_server.app.is_there", lambda _: True)
    to = ("--to", "https://sas.example.org", "--journal", "x")
    assert main([*PUSH, *to, "--key", "key.pem"]) == 1
    assert "--key: the certificate that it belongs to is missing" in capsys.readouterr().err
    monkeypatch.setenv("SAS_CLIENT_CERT", "none.pem")
    assert main([*PUSH, *to]) == 1
    assert "cannot be used: No such file" in capsys.readouterr().err
