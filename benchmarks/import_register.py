"""Import of a register by the command: time and peak of memory, the first time and again with nothing changed.

A line is an activity of one professional; the structures are shared by eight. Five of six lines are in one commune.

    python -m benchmarks.import_register [--full | --million]
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.program import Scale, main
from benchmarks.report import Row, number
from benchmarks.server import ServerFailed
from fhir_server.france.identifiers import luhn_digit
from fhir_server.france.importing.extraction import extraction

QUESTION: Final = "How long does the import of a register take, and how much memory?"
PEAK_BYTES: Final = 500_000_000
MILLION: Final = 1_000_000


async def measure(scale: Scale) -> list[Row]:
    """As many lines as an import has resources; with ``--million`` a million."""
    lines = MILLION if MILLION in scale.slots else scale.imported
    file, store = scale.scratch / "PS_LibreAcces_Personne_activite.txt", scale.scratch / "register.sqlite"
    _write_extract(file, lines)
    size = f"{number(lines)} lines"
    rows = []
    for what in ("first import", "again, nothing changed"):
        before = _processor()
        seconds, peak, told = await _run("import", "annuaire", str(file), "--store", f"sqlite:{store}")
        took = (
            f"{seconds:.1f} s, {number(int(lines / seconds))} lines/s; {_processor() - before:.1f} s of processor time"
        )
        rate = f"{took}; peak {peak / 1e6:.0f} MB; {told}"
        rows.append(Row(what, size, rate, aim="peak ≤ 500 MB", met=peak <= PEAK_BYTES))
    return rows


def _write_extract(path: Path, lines: int) -> None:
    """Write an extraction of the open layout; all numbers are fictitious."""
    with path.open("w", encoding="utf-8") as file:
        file.write("|".join(column.names[-1] for column in extraction().columns) + "|\n")
        file.writelines(map(_line, range(lines)))


def _line(index: int) -> str:
    return _LINE.format(
        index=index,
        rpps=_with_digit(f"9{index:09d}"),
        finess=_with_digit(f"97{index // 8 % MILLION:06d}"),
        number=index % 99 + 1,
        commune="25388" if index % 6 == 0 else "25056",
    )


_FIELDS: Final = {
    **{"type": "8", "numero": "{rpps}", "idnps": "8{rpps}", "nom": "FICTIF{index}", "prenom": "ALICE"},
    **{"profession": "10", "categorie": "C", "type-savoir-faire": "S", "savoir-faire": "SM54", "mode": "L"},
    **{"finess": "{finess}", "technique": "F{finess}", "idnst": "1{finess}", "raison-sociale": "CABINET {finess}"},
    **{"voie-numero": "{number}", "voie-type": "Rue", "voie": "DES ESSAIS", "code-postal": "25000"},
    **{"commune": "{commune}", "commune-nom": "Besançon", "pays": "99000"},
    **{"telephone": "0199009901", "secteur": "SA07", "fonction": "FON-01", "genre": "GENR01"},
}
_LINE: Final = "|".join(_FIELDS.get(column.key, "") for column in extraction().columns) + "|\n"


def _processor() -> float:
    """Return the processor seconds of all commands that have ended, and of the processes that they had started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _with_digit(digits: str) -> str:
    return digits + luhn_digit(digits)


async def _run(*arguments: str) -> tuple[float, int, str]:
    """Run a command; return its seconds, the peak of its memory in bytes, and what it said last."""
    started = perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fhir_server", *arguments, stdout=asyncio.subprocess.PIPE
    )
    watching = asyncio.create_task(_peak(process.pid))
    output, _ = await process.communicate()
    watching.cancel()
    if process.returncode:
        raise ServerFailed(f"the import ended with {process.returncode}")
    return perf_counter() - started, _PEAKS.get(process.pid, 0), output.decode().splitlines()[-1]


_PEAKS: Final[dict[int, int]] = {}


async def _peak(pid: int) -> None:
    """Note the highest resident memory of a process while it runs; nothing where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    while os.path.exists(status):  # noqa: PTH110, ASYNC240 a look at /proc
        for line in status.read_text().splitlines():  # noqa: ASYNC240
            if line.startswith("VmHWM:"):
                _PEAKS[pid] = int(line.split()[1]) * 1024
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    main(QUESTION, measure, is_small=True)
