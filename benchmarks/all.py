"""Every question, small; ``--full`` in the sizes of ``docs/performance.md``. Prints one table in Markdown.

python -m benchmarks.all [--full | --million] [--keep FOLDER] [--write FILE]
"""

from __future__ import annotations

import sys
from typing import Final

from benchmarks import create, import_transactions, publish, read, sas_path, sas_query, search, start
from benchmarks.program import Scale, main
from benchmarks.report import Row

QUESTION: Final = "How fast is the server?"
QUESTIONS: Final = (start, read, create, sas_query, sas_path, search, import_transactions, publish)


async def measure(scale: Scale) -> list[Row]:
    rows: list[Row] = []
    for module in QUESTIONS:
        sys.stderr.write(f"{module.QUESTION}\n")
        rows += await module.measure(scale)
    return rows


if __name__ == "__main__":
    main(QUESTION, measure, is_small=True)
