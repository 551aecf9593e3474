"""A description as the text of a YAML file, in its canonical form.

Spec: https://yaml.org/spec/1.1/
"""

from __future__ import annotations

from typing import Final

import yaml

from fhir_server.france.vocabulary import Json

HEADER: Final = "# yaml-language-server: $schema=cpts.schema.json\n"
WIDTH: Final = 100_000
"""Columns of a line: texts are not folded."""


def written(data: Json) -> str:
    """Return a description in its canonical form."""
    return HEADER + yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=False
    )


class _Dumper(yaml.SafeDumper):
    """Block style, lists indented, dates as they are written."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()
}
