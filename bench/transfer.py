"""Export and import of a project in MB a second, against zipping and unzipping the same bytes plain.

    python -m bench.transfer

The project has versions of prompts, and blobs of which half pack well. Megabytes are those of the unpacked files. The baseline
packs the very files of the archive with the same compression, and unpacks them into a folder: no digests, no database.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from bench.measure import report
from tidemill.store.archive import open_archive
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.export import Choice, write_export
from tidemill.store.import_blobs import import_blobs
from tidemill.store.import_report import Rules
from tidemill.store.imports import import_archive
from tidemill.store.projects import ensure_project
from tidemill.store.registry import add_version
from tidemill.testing.policies import LetAll

VERSIONS, BLOBS, BLOB_BYTES, ROUNDS = 2000, 48, 512 * 1024, 2


def fill(database, blobs, *, versions, count):
    """A project of prompts, and of datasets with a blob each."""

    def work(db):
        ensure_project(db, "default", now_ns=1)
        for number in range(versions):
            text = f"Answer in one sentence from the passages.\n\n{{{{context}}}}\n\nQuestion {number}: {{{{question}}}}\n" * 4
            spec = {"messages": [{"role": "user", "content": text}], "variables": []}
            name = f"prompt-{number % 100}"
            add_version(db, project="default", kind="prompt", name=name, parsed_spec=spec, refs={}, blobs={}, now_ns=number)
        for number in range(count):
            rows = b'{"answer":"row %d","question":"what is in row %d"}\n' % (number, number)
            content = os.urandom(BLOB_BYTES) if number % 2 else (rows * (BLOB_BYTES // len(rows)))
            spec = {"columns": {}, "roles": {}, "rows_count": number}
            digest = {"rows": blobs.put(content)}
            add_version(
                db, project="default", kind="dataset", name=f"d{number}", parsed_spec=spec, refs={}, blobs=digest, now_ns=number
            )

    database.write_sync(work)


def timed(work):
    """Seconds that work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def export(database, blobs, path):
    """Write the archive."""
    with path.open("wb") as file:
        database.read_sync(lambda db: write_export(db, "default", file, blobs=blobs, choice=Choice(), now_ns=1))


def take_in(database, path, folder):
    """Check the archive and take it into an empty database."""
    into = Blobs(folder / "blobs", "default")
    with open_archive(path) as archive:
        import_blobs(archive, into)
        database.write_sync(
            lambda db: import_archive(
                db, "default", archive, rules=Rules(by="bench", now_ns=1), policies=LetAll(), has_blob=into.has,
                kinds={"prompt": True, "dataset": True}, check_config=lambda _kind, _spec: None,
            )
        )  # fmt: skip


def unzip(path, folder):
    """Unpack plain."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)


def pack(files, path, like):
    """Zip the same files plain, each packed as in the archive."""
    with zipfile.ZipFile(like) as archive, zipfile.ZipFile(path, "w", compresslevel=1) as made:
        for name in archive.namelist():
            made.write(files / name, name, compress_type=archive.getinfo(name).compress_type)


def measure(*, versions=VERSIONS, count=BLOBS, rounds=ROUNDS):
    """The best of a few rounds, ours and plain by turns."""
    best = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database, blobs = Database.open(folder / "meta.db"), Blobs(folder / "blobs", "default")
        fill(database, blobs, versions=versions, count=count)
        path, files = folder / "ours.zip", folder / "plain"
        export(database, blobs, path)
        unzip(path, files)
        size = sum(each.stat().st_size for each in files.rglob("*") if each.is_file()) / 1e6
        for number in range(rounds):
            there = folder / f"there-{number}"
            there.mkdir()
            empty = Database.open(there / "meta.db")
            for what, work in (
                ("export", lambda: export(database, blobs, path)), ("zip", lambda: pack(files, folder / "plain.zip", path)),
                ("import", lambda there=there, empty=empty: take_in(empty, path, there)),
                ("unzip", lambda number=number: unzip(path, folder / f"unzipped-{number}")),
            ):  # fmt: skip
                best[what] = min(timed(work), best.get(what, 1e9))
            empty.close()
        database.close()
    for ours, plain in (("export", "zip"), ("import", "unzip")):
        report(
            "transfer", f"{ours}, unpacked MB a second", ours=size / best[ours], baseline=size / best[plain], unit="MB/s",
            baseline_is=f"{plain} of the same files, without digests and database", versions=versions, megabytes=round(size, 1),
        )  # fmt: skip


def main() -> int:
    measure()
    return 0


if __name__ == "__main__":
    sys.exit(main())
