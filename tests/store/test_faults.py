"""The store is killed and its disk is filled; nothing that was acknowledged is lost, nothing is half there."""

from __future__ import annotations

import errno
import functools
import os
import signal
import subprocess
import sys

import pytest

from tidemill.core.errors import StorageFull
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.folder import DataFolder
from tidemill.store.registry import add_version, get_version, list_versions

WRITE = """
import sys
from pathlib import Path
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.registry import add_version
root = Path(sys.argv[1])
database = Database.open(root / "meta.db")
blobs = Blobs(root / "blobs", "p")
number = int(sys.argv[2])
while True:
    number += 1
    blob = blobs.put(b"%d" % number * 1000)
    version, _ = database.write_sync(lambda db: add_version(
        db, project="p", kind="prompt", name="answer", parsed_spec={"n": number}, refs={}, blobs={"b": blob}, now_ns=number))
    print(version.number, version.digest, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path):
    acknowledged = {}
    for round_ in range(3):
        command = [sys.executable, "-c", WRITE, str(tmp_path), str(len(acknowledged) + 1000 * round_)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(50):
                number, digest = writer.stdout.readline().split()
                acknowledged[int(number)] = digest
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                if line.endswith("\n"):
                    number, digest = line.split()
                    acknowledged[int(number)] = digest
    database = Database.open(tmp_path / "meta.db")
    blobs = Blobs(tmp_path / "blobs", "p")
    for number, digest in acknowledged.items():
        version = database.read_sync(lambda db, number=number: get_version(db, "p", f"prompt/answer@v{number}"))
        assert version.digest == digest
        blobs.get(version.blobs["b"])
    count = database.read_sync(lambda db: get_version(db, "p", "prompt/answer")).number
    assert count in {len(acknowledged), *range(len(acknowledged), len(acknowledged) + 4)}
    database.close()


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this machine does not let us mount: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


def fill(path):
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(descriptor)


def add(db, number, size=2000):
    spec = {"n": number, "text": "x" * size}
    return add_version(db, project="p", kind="prompt", name="answer", parsed_spec=spec, refs={}, blobs={}, now_ns=number)


def test_a_full_disk_is_told_and_what_was_acknowledged_stays(small_disk):
    database = Database.open(small_disk / "meta.db")
    acknowledged = 0

    def write_on():
        nonlocal acknowledged
        for number in range(10_000):
            database.write_sync(functools.partial(add, number=number))
            acknowledged += 1

    with pytest.raises(StorageFull) as caught:
        write_on()
    assert acknowledged > 10
    assert caught.value.message == "the disk is full; nothing was written"
    assert database.read_sync(lambda db: get_version(db, "p", "prompt/answer")).number == acknowledged
    database.close()
    database = Database.open(small_disk / "meta.db")
    assert database.read_sync(lambda db: get_version(db, "p", "prompt/answer")).number == acknowledged
    assert len(database.read_sync(lambda db: list_versions(db, "p", "prompt/answer", limit=1000)).items) == min(
        acknowledged, 1000
    )
    database.close()


def test_work_goes_on_when_there_is_room_again(small_disk):
    database = Database.open(small_disk / "meta.db")
    filler = small_disk / "filler"
    fill(filler)
    with pytest.raises(StorageFull):
        database.write_sync(lambda db: [add(db, number) for number in range(100)])
    filler.unlink()
    version, created = database.write_sync(lambda db: add(db, 1))
    assert (version.number, created) == (1, True)
    database.close()


def test_a_blob_that_does_not_fit_is_not_half_there(small_disk):
    blobs = Blobs(small_disk / "blobs", "p")
    kept = blobs.put(b"fits")
    with pytest.raises(StorageFull):
        blobs.put(b"x" * 4_000_000)
    assert blobs.get(kept) == b"fits"
    files = [each for each in small_disk.rglob("*") if each.is_file()]
    assert files == [blobs.path(kept)]


def test_a_data_folder_on_a_full_disk_is_told(small_disk):
    fill(small_disk / "filler")
    with pytest.raises(StorageFull):
        DataFolder.open(small_disk / "data").admin_token()
    with pytest.raises(StorageFull):
        Database.open(small_disk / "meta.db")
