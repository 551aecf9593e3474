"""The OpenAPI document as one HTML page: no script, and nothing from elsewhere, so it can be read without a network.

Spec: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final, TypeAlias

Json: TypeAlias = Mapping[str, Any]

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; color: #222; }
nav a { display: inline-block; margin-right: .8rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .6rem .25rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; }
code { font: .9em ui-monospace, monospace; }
summary { cursor: pointer; }
"""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What keeps a browser to the page itself."""


def page(document: Json) -> bytes:
    """Return the page of an OpenAPI document, in UTF-8; whatever stands in the document is text, never markup."""
    return "\n".join(_page(document)).encode()


def _page(document: Json) -> Iterator[str]:
    title = escape(document["info"]["title"])
    base = document["servers"][0]["url"]
    tags = [tag["name"] for tag in document["tags"]]
    yield f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_STYLE}</style></head>\n<body>"
    yield f"<h1>{title}, {escape(document['info']['version'])}</h1>"
    bases = ", ".join(f"<code>{escape(server['url'])}</code>" for server in document["servers"])
    yield f"<p>Base URL: {bases}. The same for machines: {_link(f'{base}/metadata', 'CapabilityStatement')} and "
    yield f"{_link('openapi.json', 'OpenAPI 3.1')}. R4: {_link('https://hl7.org/fhir/R4/http.html', 'RESTful API')}, "
    yield f"{_link('https://hl7.org/fhir/R4/search.html', 'search')}.</p>"
    yield f"<nav>{' '.join(_link(f'#{tag}', tag) for tag in (*tags, 'parameters'))}</nav>"
    for tag in document["tags"]:
        yield from _section(document, tag, base)
    yield from _shared(document)
    yield "</body>\n</html>"


def _section(document: Json, tag: Json, base: str) -> Iterator[str]:
    """Yield the requests of one tag, and the search parameters that they take."""
    name = tag["name"]
    yield f'<section>\n<h2 id="{escape(name)}">{escape(name)}</h2>'
    if "externalDocs" in tag:
        yield f"<p>{_link(tag['externalDocs']['url'], 'R4')}</p>"
    yield "<table>"
    searchable: dict[str, Json] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and name in operation.get("tags", ()):
                yield _request(method, path, operation, "" if "servers" in item else base)
                searchable.update(_searchable(document, operation))
    yield "</table>"
    if searchable:
        yield "<details><summary>Search parameters</summary>"
        yield from _table(one for _, one in sorted(searchable.items()))
        yield "</details>"
    yield "</section>"


def _request(method: str, path: str, operation: Json, base: str) -> str:
    is_open = method == "get" and "{" not in path
    shown = f"<code>{escape(path)}</code>"
    where = f'<a href="{escape(base + path)}">{shown}</a>' if is_open else shown
    told = operation["summary"]
    what = _link(operation["externalDocs"]["url"], told) if "externalDocs" in operation else escape(told)
    return f"<tr><th>{method.upper()}</th><td>{where}</td><td>{what}</td></tr>"


def _searchable(document: Json, operation: Json) -> Iterator[tuple[str, Json]]:
    """Yield the search parameters among what an operation takes: their components are called ``Type.code``."""
    for one in operation.get("parameters", ()):
        name = one.get("$ref", "").rpartition("/")[2]
        if "." in name:
            parameter = document["components"]["parameters"][name]
            yield parameter["name"], parameter


def _shared(document: Json) -> Iterator[str]:
    """Yield what stands in queries and headers of many requests."""
    yield '<section>\n<h2 id="parameters">parameters</h2>'
    yield from _table(one for name, one in document["components"]["parameters"].items() if "." not in name)
    yield "</section>"


def _table(parameters: Iterable[Json]) -> Iterator[str]:
    yield "<table>"
    for one in parameters:
        place = "" if one["in"] == "query" else f" ({one['in']})"
        yield f"<tr><th>{escape(one['name'])}{place}</th><td>{_prose(one['description'])}</td></tr>"
    yield "</table>"


def _prose(text: str) -> str:
    """Return a description, what stands between backticks as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))


def _link(url: str, text: str) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>'
