"""A plan of a thousand artifacts: nothing changed, one changed, all changed, against reading and hashing the same files alone.

    python -m bench.plan

Both read the same YAML, parse every document by its kind and reckon its digest. Ours resolves the references besides, looks up
what each document is now, tells what changed in words, and answers as JSON; a row each shows that part alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bench.measure import report
from tidemill.core.digests import artifact_digest
from tidemill.core.documents import load_documents
from tidemill.core.extend import load_extension
from tidemill.core.json import dump_json
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.downstream import downstream
from tidemill.store.files import FilesFolder
from tidemill.store.plan import apply_plan, make_plan
from tidemill.store.prepare import prepare, read_documents

PROMPTS, MODELS, CHAINS, A_FILE, ROUNDS = 700, 100, 200, 100, 3
HERE = {"project": "default", "environment": "local"}
BASELINE = "reading, parsing and hashing the same files"


def prompt(number, word):
    return (
        f"kind: prompt\nname: p{number}\ntext: |\n  Answer the question from the passages, {word}, in one sentence.\n\n"
        f"  {{{{context}}}}\n\n  Question {number}: {{{{question}}}}\n"
    )


def model(number, word):
    return f"kind: model\nname: m{number}\nprovider: test\nparams: {{temperature: 0.{len(word)}, max_tokens: {number + 1}}}\n"


def chain(number):
    given = '{question: "{{question}}", context: "{{question}}"}'
    steps = f"  - {{id: answer, prompt: prompt/p{number % PROMPTS}, model: model/m{number % MODELS}, with: {given}}}\n"
    return f'kind: chain\nname: c{number}\ninputs: {{question: string}}\nsteps:\n{steps}output: "{{{{answer.text}}}}"\n'


def files_with(changed):
    """A thousand documents, a hundred to a file; the numbers in `changed` say something else."""
    words = {each: "briefly" if each in changed else "exactly" for each in range(PROMPTS)}
    documents = [prompt(number, words[number]) for number in range(PROMPTS)]
    documents += [model(number, "abc" if number in changed and len(changed) > 1 else "ab") for number in range(MODELS)]
    documents += [chain(number) for number in range(CHAINS)]
    return {
        f"tidemill/{start // A_FILE}.yaml": "---\n".join(documents[start : start + A_FILE]).encode()
        for start in range(0, len(documents), A_FILE)
    }


def bare(files, blobs, kinds):
    """Every digest, and nothing else."""
    folder = FilesFolder(files, blobs)
    for path, content in files.items():
        for document in load_documents(content, path=path):
            parsed = kinds[document.kind].parse(document.body, files=folder)
            refs = dict.fromkeys(parsed.references.values(), "sha256:" + "0" * 64)
            artifact_digest(document.kind, spec=parsed.spec, refs=refs, blobs=parsed.blobs)


def ours(files, blobs, kinds, database):
    """A whole plan as the server makes it; how long all of it took, how long but for reading the files, and the changes."""
    start = time.perf_counter()
    folder = FilesFolder(files, blobs)
    documents, problems = read_documents(folder, sorted(files))
    preparation = prepare(files=folder, documents=documents, kinds=kinds, problems=problems)
    read = time.perf_counter()

    def work(db):
        made = make_plan(db, **HERE, kinds=kinds, preparation=preparation, blobs=blobs)
        return made, downstream(db, HERE["project"], made.changes)

    made, left = database.read_sync(work)
    dump_json([made.as_json(), left.as_json()])
    end = time.perf_counter()
    return end - start, end - read, len(made.changes)


def measure(folder):
    kinds = {name: load_extension("kinds", name)() for name in ("prompt", "model", "chain")}
    blobs, database = Blobs(folder / "blobs", HERE["project"]), Database.open(folder / "meta.db")
    before = files_with(())
    documents = [each for path, content in before.items() for each in load_documents(content, path=path)]
    database.write_sync(
        lambda db: apply_plan(db, **HERE, kinds=kinds, now_ns=1, files=FilesFolder(before, blobs), documents=documents)
    )
    cases = {"nothing changed": before, "one changed": files_with({1}), "all changed": files_with(set(range(PROMPTS)))}
    for what, files in cases.items():
        whole, apart, base = [], [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            bare(files, blobs, kinds)
            base.append(time.perf_counter() - start)
            took, alone, changes = ours(files, blobs, kinds, database)
            whole.append(took)
            apart.append(alone)
        artifacts = PROMPTS + MODELS + CHAINS
        say = {"baseline": min(base), "unit": "s", "baseline_is": BASELINE, "artifacts": artifacts, "changes": changes}
        report("plan", f"a plan of 1,000 artifacts, {what}", ours=min(whole), **say)
        report("plan", f"the same but for reading the files, {what}", ours=min(apart), **say)
    database.close()


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
