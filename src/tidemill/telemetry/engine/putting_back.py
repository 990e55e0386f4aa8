"""Filling the span store's tables from a backup, in the store's own process, before it serves.

What is put back lies in `spans.restore/` beside the store until the process starts next: a table is emptied, filled from its
file, and the file goes, so that a kill in between does no harm.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ENDING: Final = ".native.zst"
RESTORE: Final = "spans.restore"


def put_back(folder: Path, *, run: Callable[[str], None], ask: Callable[[str], Sequence[Sequence[object]]]) -> None:
    """Fill the tables from the files of `folder`, which go."""
    files = sorted(folder.glob(f"*{ENDING}"), key=lambda path: (path.name.startswith("spans."), path.name))
    for path in files:
        table = path.name.removesuffix(ENDING)
        source = f"file('{str(path).replace(chr(92), chr(92) * 2).replace(chr(39), chr(92) + chr(39))}', 'Native')"
        have = {
            str(row[0])
            for row in ask(f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{table}'")  # noqa: S608  (the same)
        }
        if not have:
            raise RuntimeError(f"the backup has a table {table} that this Tidemill does not know; use the newer one")
        columns = ", ".join(f"`{row[0]}`" for row in ask(f"DESCRIBE TABLE {source}") if str(row[0]) in have)
        run(f"TRUNCATE TABLE {table}")
        run(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {source}")  # noqa: S608  (names of ours)
        path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
