"""A program that writes to a spool and dies at one step of it: `python spool_steps.py FOLDER` does it for every step there is.

A step is a call that changes the disk. At its turn a write puts down half of what it was given, everything else nothing, and
the process is gone. What it acknowledged before must be there, once; a line of JSON a step says what was found.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tidemill.telemetry.spool.frames import decode_rows
from tidemill.telemetry.spool.segments import Position
from tidemill.telemetry.spool.spool import Spool

CALLS = ("open", "write", "fsync", "replace", "unlink", "rename", "ftruncate")
BATCHES = 8


def die_at(step: int) -> None:
    """Count the calls of this process, and end it at one."""
    left = [step]

    def wrapped(name: str):
        real = getattr(os, name)

        def call(*given, **named):
            left[0] -= 1
            if left[0] == 0:
                if name == "write":
                    real(given[0], bytes(given[1])[: len(given[1]) // 2])
                os._exit(9)
            return real(*given, **named)

        return call

    for name in CALLS:
        setattr(os, name, wrapped(name))


async def work(folder: Path, acknowledged: int) -> None:
    """Batches of rows, each acknowledged over the pipe when it is safe; some are projected, so that segments go."""
    spool = Spool(folder, segment_bytes=600)
    for batch in range(BATCHES):
        await spool.append_rows("steps", [json.dumps({"n": batch * 10 + row, "text": "x" * 50}).encode() for row in range(3)])
        say(acknowledged, f"{batch}\n")
        if batch == BATCHES // 2:
            spool.commit(spool.read(Position(), limit=300).end)
            say(acknowledged, "committed\n")
    spool.close()


def say(pipe: int, text: str, *, write=os.write) -> None:
    write(pipe, text.encode())


def rows_of(folder: Path) -> tuple[list[int], int]:
    """The numbers that the next process finds, and how many rows were projected before."""
    spool, place, found = Spool(folder), Position(), []
    begin = spool.position()
    while place < spool.durable:
        batch = spool.read(place)
        for payload in batch.payloads:
            found += [json.loads(line)["n"] for line in decode_rows(payload).content.split(b"\n")]
        if batch.end == place:
            break
        place = batch.end
    spool.close()
    return found, begin.segment


def run_one(folder: Path, step: int) -> tuple[int, list[str]]:
    """Die at a step; the exit status and what was acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        die_at(step)
        asyncio.run(work(folder, writing))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().split()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def main(folder: Path) -> None:
    for step in range(1, 1000):
        place = folder / str(step)
        code, said = run_one(place, step)
        found, segment = rows_of(place)
        line = json.dumps({"step": step, "code": code, "said": said, "found": found, "segment": segment})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if code == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
