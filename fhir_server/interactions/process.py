"""A process that makes resources ready, and what it runs.

It is started here and not by ``multiprocessing``, which would import the program's main module anew, so that a script
that starts the server without a guard would start a second one, and which lets Ctrl-C reach the process.

Questions and answers are pickled, over its standard input and output; it ends when its input does.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Final

from fhir_server.definitions.installed import Installed
from fhir_server.interactions.draft import Raw, Ready, prepared
from fhir_server.interactions.pace import tune
from fhir_server.interactions.tools import Tools

NICENESS: Final = 10
"""How far such a process stands back where others want the same cores: reads are answered first."""

ANSWER_SECONDS: Final = 60.0
"""The longest that an answer may take; one takes well under a second. A process that hangs is ended then."""


class ProcessDied(Exception):
    """The process has ended, or could not do what it was asked."""


class Process:
    """One process, started when it is first asked, and again after it has died."""

    def __init__(self, make_tools: Callable[[], Tools]) -> None:
        """``make_tools`` is called in the process, so it must be picklable."""
        self._make_tools = make_tools
        self._popen: subprocess.Popen[bytes] | None = None
        self._has_answered = False
        self.is_hopeless = False
        """It died before its first answer: another one would too."""

    @property
    def pid(self) -> int | None:
        """The number of the process, None if none runs."""
        return None if self._popen is None else self._popen.pid

    def ask(self, installed: Installed, raw: Sequence[Raw]) -> list[Ready]:
        """Return what becomes of resources under the definitions that are stored; blocks. Raises ``ProcessDied``."""
        try:
            answer = self._answer(installed, raw)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            self.is_hopeless = not self._has_answered
            self.end()
            raise ProcessDied(type(error).__name__) from error
        self._has_answered = True
        if answer is None:
            raise ProcessDied("what it was asked failed")
        return answer

    def _answer(self, installed: Installed, raw: Sequence[Raw]) -> list[Ready] | None:
        popen = self._popen = self._popen or self._start()
        assert popen.stdin is not None and popen.stdout is not None  # noqa: S101 - pipes were asked for
        patience = Timer(ANSWER_SECONDS, popen.kill)
        patience.start()
        try:
            pickle.dump((installed, raw), popen.stdin)
            popen.stdin.flush()
            answer: list[Ready] | None = pickle.load(popen.stdout)  # noqa: S301 - our own process has written it
        finally:
            patience.cancel()
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        popen = subprocess.Popen(  # noqa: S603 - this module, run by this interpreter
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            start_new_session=True,  # Ctrl-C is for the server, which ends this process when it is done
        )
        assert popen.stdin is not None  # noqa: S101 - a pipe was asked for
        pickle.dump(self._make_tools, popen.stdin)
        return popen

    def kill(self) -> None:
        """End the process at once; who waits for its answer gets ``ProcessDied``."""
        if self._popen is not None:
            self._popen.kill()

    def end(self) -> None:
        """End the process and leave nothing of it; nobody may wait for its answer."""
        popen, self._popen = self._popen, None
        if popen is None:
            return
        popen.kill()
        with suppress(BrokenPipeError), popen:  # closes the pipes and waits; what is unsent has no reader any more
            pass


# --- in the process --------------------------------------------------------------------------------------------------


def main() -> None:
    """Answer questions until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a service manager sends them to all; the server drains first
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    tools: Tools = pickle.load(questions)()  # noqa: S301 - the server has written it
    tune()
    while True:
        try:
            installed, raw = pickle.load(questions)  # noqa: S301 - as above
        except EOFError:
            return
        if installed.generation != tools.registry.generation:
            tools = tools.under(tools.registry.with_installed(installed))
        try:
            answer = [prepared(tools, one) for one in raw]
        except Exception:  # a bug: the server meets it too when it does the work itself, and tells of it
            answer = None
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
