"""The days of a hospital and of an editor as a person runs them: the page's own commands, in a shell, with curl."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.clients.serving import served
from tests.docs.reading import WALKTHROUGHS, Example, examples, files_of
from tests.docs.running import Got, compared, moved


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed; tests/docs runs the same requests")
@pytest.mark.parametrize("page", WALKTHROUGHS, ids=lambda page: page.stem)
def test_commands_of_a_walkthrough_are_answered_as_the_page_says(page: Path, tmp_path: Path) -> None:
    for name, text in files_of(page).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    problems: list[str] = []
    links: dict[str, str] = {}
    with served(tmp_path) as base:
        for example in examples(page):
            assert example.answer
            got = _run(example, links, base, tmp_path)
            links = got.links or links
            problems += [f"{example.where}: {problem}" for problem in compared(example.answer, got, base)]
    assert not problems, "\n".join(problems)


def _run(example: Example, links: dict[str, str], base: str, folder: Path) -> Got:
    """Run one command; return what ``curl -i`` prints."""
    variables = {name.upper(): url for name, url in links.items()}
    done = subprocess.run(
        ["sh", "-euc", moved(example.script, base)],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, f"{example.where}: {done.stderr.decode()}"
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    first, _, lines = head.partition("\r\n")
    status = re.match(r"HTTP/1\.1 (\d{3})", first)
    assert status, f"{example.where}: {first}"
    headers = {name.lower(): value for name, value in HeaderParser().parsestr(lines).items()}
    return Got(int(status[1]), headers, body)
