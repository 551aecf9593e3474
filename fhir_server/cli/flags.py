"""The flags of a command: rows of the table of settings."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Any, Final

from fhir_server import logs
from fhir_server.settings import SETTINGS, Setting, Settings, StartError

EVERY: Final = tuple(setting.name for setting in SETTINGS)


def add_flags(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Give a command the flags of some settings; the others still come by variable."""
    wanted = set(names)
    for setting in SETTINGS:
        if setting.name in wanted and setting.flag:
            _add_flag(parser, setting)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings of a command: its flags, then the environment. Raises ``SettingsError``."""
    return Settings.read(given_flags(options), os.environ)


def given_flags(options: argparse.Namespace) -> dict[str, str]:
    """Return the flags that a command was given: name of the setting to text."""
    texts = ((setting.name, _text(getattr(options, setting.name, None))) for setting in SETTINGS)
    return {name: text for name, text in texts if text is not None}


def log_configuration(settings: Settings) -> dict[str, Any]:
    """Return what ``logging.config.dictConfig`` takes: lines for a person on a terminal, else JSON, unless told."""
    form = settings.log_format
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    return logs.configuration(settings.log_level, form)


def prepare_store(settings: Settings) -> None:
    """Make the folder of the store, if it has one."""
    if settings.is_mongodb:
        return
    folder = settings.sqlite_path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"The folder {folder} of the store cannot be made: {error.strerror}.") from None


def _add_flag(parser: argparse.ArgumentParser, setting: Setting) -> None:
    default = setting.default_text or "none"
    if setting.name == "base_url":
        default = "from host and port"
    elif setting.name == "types":
        default = f"{len(setting.default)} types, listed in docs/settings.md"
    text = f"{setting.help} [{setting.variable}; default: {default}]".replace("%", "%%")
    if setting.is_switch:
        parser.add_argument(setting.flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    else:
        parser.add_argument(setting.flag, metavar=setting.metavar, help=text)


def _text(value: str | bool | None) -> str | None:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value
