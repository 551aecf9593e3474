"""The examples of the documentation, read from its pages.

A fenced ``http`` block that begins with a method is a request, one that begins with ``HTTP/1.1`` the answer to the one
before; a fenced ``sh`` block that begins with ``curl`` is a request too. A ``json`` block with a name behind it
(``json roster.json``) is a file that ``curl`` sends. ``<!-- server: update_create=off -->`` starts a new server.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent.parent
DOCS: Final = ROOT / "docs"
WALKTHROUGHS: Final = (DOCS / "hospital-day.md", DOCS / "editor-day.md")
"""The pages that are written as commands for a shell."""

PAGES: Final = (
    *sorted((DOCS / "interactions").glob("*.md")),
    *sorted((DOCS / "operations").glob("*.md")),
    *WALKTHROUGHS,
    *(
        DOCS / f"{name}.md"
        for name in ("search", "search-parameters", "identifiers", "references", "scheduling", "proxy")
    ),
)
"""The pages whose examples are run."""

BASE: Final = "http://127.0.0.1:8080/fhir"
"""The service base URL of all pages; the SAS base paths are beside it."""

NO_BODY: Final = "(no body)"

_METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_FENCE: Final = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SERVER: Final = re.compile(r"^<!-- server: (.*?) -->$", re.MULTILINE)
_STATUS: Final = re.compile(r"HTTP/1\.1 (\d{3})( [A-Za-z -]+)?")


@dataclass(frozen=True)
class Request:
    """``url`` is absolute, or a path that begins with ``/fhir``, or ``<next>``: a link of the answer before."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    is_form: bool = False


@dataclass(frozen=True)
class Answer:
    """What a page says of an answer: its status, some headers, and an excerpt of its JSON."""

    status: int
    headers: dict[str, str]
    body: Any = None
    is_empty: bool = False


@dataclass(frozen=True)
class Example:
    """One request with the answers that the page tells; ``where`` is page and line, ``settings`` those of its server.

    ``script`` is the text of a ``sh`` block.
    """

    where: str
    server: int
    settings: dict[str, str]
    request: Request
    answer: Answer | None
    script: str = ""


@dataclass(frozen=True)
class _Block:
    line: int
    language: str
    name: str
    text: str


def examples(page: Path) -> list[Example]:
    """Return the examples of a page, in its order."""
    found: list[Example] = []
    files: dict[str, str] = {}
    server, settings = 0, dict[str, str]()
    for block in _blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        if block.language == "server":
            server, settings = server + 1, dict(pair.split("=", 1) for pair in block.text.split())
        elif block.language == "json" and block.name:
            files[block.name] = block.text
        elif block.text.startswith("HTTP/"):
            asked = found.pop()
            assert asked.answer is None, f"{where}: an answer without a request"
            found.append(
                Example(asked.where, asked.server, asked.settings, asked.request, _answer(block, where), asked.script)
            )
        elif block.language == "http":
            found.append(Example(where, server, settings, _request(block.text, where), None))
        elif block.language == "sh" and block.text.startswith("curl "):
            found.append(Example(where, server, settings, curl(block.text, files), None, block.text))
        else:
            assert block.language not in {"http", "sh", "curl"}, f"{where}: a block that is no example"
    return found


def files_of(page: Path) -> dict[str, str]:
    """Return the files that a page's ``curl`` commands send, by name."""
    return {block.name: block.text for block in _blocks(page.read_text(encoding="utf-8")) if block.name}


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading of a page, without its first two lines."""
    _, found, rest = page.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    table = re.search(r"(?:^\|.*\n?)+", rest, re.MULTILINE)
    assert table, f"{page.name} has no table under {heading!r}"
    lines = table[0].splitlines()[2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code(cell: str) -> list[str]:
    """Return what stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def curl(command: str, files: dict[str, str]) -> Request:
    """Return the request of a ``curl`` command; only the flags that the pages use are known."""
    words = iter(shlex.split(command, comments=True)[1:])
    method, url, headers, body = "", "", dict[str, str](), ""
    for word in words:
        match word:
            case "-i" | "-s" | "-si":
                pass
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(":")
                headers[name.strip()] = value.strip()
            case "-d" | "--data-binary":
                data = next(words)
                body = files[data[1:]] if data.startswith("@") else data
            case _:
                assert not word.startswith("-"), f"the flag {word} of curl is not known here"
                url = word
    return Request(method or ("POST" if body else "GET"), url, headers, body)


def _blocks(text: str) -> Iterator[_Block]:
    marks = [(match.start(), _Block(_line(text, match), "server", "", match[1])) for match in _SERVER.finditer(text)]
    for match in _FENCE.finditer(text):
        language, _, name = match[1].strip().partition(" ")
        marks.append((match.start(), _Block(_line(text, match), language, name, match[2])))
    return iter(block for _, block in sorted(marks, key=lambda mark: mark[0]))


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def _request(text: str, where: str) -> Request:
    head, _, body = text.partition("\n\n")
    first, *lines = head.splitlines()
    method, _, url = first.partition(" ")
    assert method in _METHODS, f"{where}: {method} is no method"
    while lines and lines[0][:1] == " ":  # a long query goes on in the next line
        url += lines.pop(0).strip()
    headers = dict(_header(line, where) for line in lines)
    is_form = headers.get("Content-Type", "").endswith("x-www-form-urlencoded")
    return Request(method, url.strip(), headers, "".join(body.split("\n")) if is_form else body, is_form)


def _answer(block: _Block, where: str) -> Answer:
    head, _, body = block.text.partition("\n\n")
    first, *lines = head.splitlines()
    status = _STATUS.fullmatch(first)
    assert status, f"{where}: {first!r} is no status line"
    body = body.strip()
    told = json.loads(body) if body and body != NO_BODY else None
    return Answer(int(status[1]), dict(_header(line, where) for line in lines), told, body == NO_BODY)


def _header(line: str, where: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    assert colon, f"{where}: {line!r} is no header"
    return name.strip(), value.strip()
