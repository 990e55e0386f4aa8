"""A process that runs a pipeline of four steps, run by test_kill.py. Arguments: folder, and the step to stand still in."""

import sys
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines.building import PROJECT, open_house
from tidemill.store import pipelines as rows

PIPELINE = """
kind: pipeline
name: tide
steps:
  - {id: one, python: "kept_steps:step", with: {folder: "{{folder}}", name: one}}
  - {id: side, python: "kept_steps:step", with: {folder: "{{folder}}", name: side}}
  - {id: two, python: "kept_steps:step", with: {folder: "{{folder}}", name: two}, needs: [one]}
  - {id: three, python: "kept_steps:step", with: {folder: "{{folder}}", name: three}, needs: [two, side]}
inputs: {folder: null}
"""
STEPS = """
from pathlib import Path
import sys, time

def step(folder, name):
    folder = Path(folder)
    with (folder / "began").open("a") as file:
        file.write(name + "\\n")
    if (folder / "halt").read_text() == name:
        while not (folder / "side_done").exists():
            time.sleep(0.01)
        print("halted", flush=True)
        time.sleep(600)
    with (folder / "finished").open("a") as file:
        file.write(name + "\\n")
    return {"name": name}
"""


async def main(folder: Path, halt_in: str) -> None:
    (folder / "halt").write_text(halt_in)
    (folder / "kept_steps.py").write_text(STEPS)
    sys.path.insert(0, str(folder))
    async with open_house(folder) as house:
        await house.apply(PIPELINE)
        run = await house.pipelines.begin(PROJECT, "pipeline/tide", {"folder": str(folder)}, who="ada", run_id="run-0001")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell_of_side, house, run, folder)
            ended = await house.pipelines.wait(run.id, timeout=60)
        steps = await house.steps(ended)
        shown = " ".join(f"{name}:{step.status}:{step.attempt}" for name, step in steps.items())
        sys.stdout.write(f"{ended.status} {shown}\n")


async def tell_of_side(house, run, folder):
    """The step that is killed waits until the one beside it is noted as finished."""
    while True:
        steps = {each.step: each for each in await house.database.read(lambda db: rows.get_steps(db, run.id))}
        if steps["side"].status == "done":
            (folder / "side_done").touch()
            return
        await anyio.sleep(0.01)


anyio.run(main, Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
