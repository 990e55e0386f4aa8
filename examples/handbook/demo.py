"""`make demo`: from the reference manual of this Python to a measured, deployed, watched endpoint.

Everything below goes through the same client and the same server as any user's work. It works on a copy of this folder, in
`.demo/handbook`, so that you can go on from there.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import openai

from examples.server import running_server
from tidemill.cli.compare import print_comparison
from tidemill.cli.gate import print_gate
from tidemill.cli.progress import follow_job
from tidemill.cli.tree import trace_tree
from tidemill.client import AsyncClient
from tidemill.client.shapes import EvaluationJson
from tidemill.core.errors import TidemillError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / ".demo" / "handbook"
SPEC = WORK / "tidemill" / "handbook.yaml"
RETRIEVAL = ("recall_at_k", "ndcg_at_k", "mrr")
GENERATION = ("contains", "token_f1", "groundedness_overlap")
GENERATED = 20
SECONDS_AN_ANSWER = 4.5  # about 300 prompt and 48 output tokens of SmolLM2-135M on one core
QUESTION = "How do I stop a loop early and skip its else clause?"
HYBRID = ("k: 5, mode: vector", "k: 5, mode: hybrid")
SHORTER = ("Answer from the passages, in one short sentence.", "Quote the words of the passages that answer the question.")


def say(step: str, text: str) -> None:
    print(f"{step:<9} {text}", flush=True)


def copy_project() -> None:
    """The demo's own copy, as release A has it."""
    for name in ("tidemill.toml", "passages.py", "tidemill/handbook.yaml", "tidemill/questions.jsonl"):
        (WORK / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / name, WORK / name)


def edit(change: tuple[str, str]) -> None:
    """One change in the project's files, as a user would make it."""
    old, new = change
    text = SPEC.read_text("utf-8")
    assert old in text, old
    SPEC.write_text(text.replace(old, new), "utf-8")


async def apply(client: AsyncClient) -> str:
    """Apply the files, wait for the index, and lock the application; the release's digest."""
    applied = await client.apply(wait=False)
    for job in applied.get("jobs", ()):
        built = (await follow_job(client, job, label="index")).get("result")
        if isinstance(built, dict):
            embedded, reused = built["embedded"], built["reused"]
            say("index", f"{built['documents']} topics, {built['chunks']} chunks: {embedded} embedded, {reused} re-used")
    return (await client.make_release("chain/handbook"))["digest"]


async def evaluate(client: AsyncClient, release: str, scorers: Sequence[str], *, limit: int | None = None) -> EvaluationJson:
    """An evaluation of a release, with its progress."""
    evaluation, job = await client.start_evaluation(release, data="dataset/questions", scorers=scorers, limit=limit)
    await follow_job(client, job, label="searches" if limit is None else "answers")
    result = await client.evaluation(evaluation)
    if result["errors"]:
        raise SystemExit(f"{result['errors']} samples failed; see: tidemill show {evaluation}")
    return result


def counted(result: EvaluationJson) -> str:
    """What an evaluation ran, and what it did not have to."""
    calls, reused = result["calls"], result["reused"]
    ran = f"{calls.get('model', 0)} generations, {calls.get('retrieve', 0)} searches, {calls.get('embed', 0)} embeddings"
    return f"{ran}; re-used {reused['outputs']} outputs"


async def compare(client: AsyncClient, a: EvaluationJson, b: EvaluationJson, names: tuple[str, str]) -> None:
    """The comparison as `tidemill compare` prints it."""
    print_comparison(await client.compare(a["id"], b["id"]), samples=None, names=names)


async def ask(url: str, token: str) -> tuple[str, str, str]:
    """The endpoint, asked with the stock client, streaming; the answer, the release and the trace."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=token) as stock:
        raw = await stock.chat.completions.with_raw_response.create(
            model="endpoint/handbook", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        citations: list[str] = []
        print(f"\n  {QUESTION}\n  ", end="", flush=True)
        async for chunk in raw.parse():
            for choice in chunk.choices:
                print((choice.delta.content or "").replace("\n", "\n  "), end="", flush=True)
            extra = (chunk.model_extra or {}).get("tidemill") or {}
            citations = [f"[{n}] {each['document']}" for n, each in enumerate(extra.get("citations", ()), start=1)] or citations
        print(f"\n  from {', '.join(citations)}\n" if citations else "\n", flush=True)
        return raw.headers["x-tidemill-release"], raw.headers["x-tidemill-trace"], ", ".join(citations)


async def measure(client: AsyncClient) -> tuple[str, str]:
    """Releases A, B and C, measured and compared; the digest to deploy and its letter."""
    say("apply", "release A: vector search over the reference manual of this Python")
    a = await apply(client)
    wait = round(3 * GENERATED * SECONDS_AN_ANSWER / 60)
    answers = f"{3 * GENERATED} answers of the local model, about {max(1, wait)} min on one core, $0.00"
    say("estimate", f"{answers}; what was answered before is kept")
    a_search = await evaluate(client, a, RETRIEVAL)
    a_answers = await evaluate(client, a, GENERATION, limit=GENERATED)
    say("A", f"{a[:15]}…  {counted(a_search)} | {counted(a_answers)}")

    edit(HYBRID)
    b = await apply(client)
    b_search = await evaluate(client, b, RETRIEVAL)
    b_answers = await evaluate(client, b, GENERATION, limit=GENERATED)
    say("B", f"{b[:15]}…  hybrid search: {counted(b_search)} | {counted(b_answers)}")

    edit(SHORTER)
    c = await apply(client)
    c_search = await evaluate(client, c, RETRIEVAL)
    c_answers = await evaluate(client, c, GENERATION, limit=GENERATED)
    say("C", f"{c[:15]}…  only the prompt changed: {counted(c_search)} | {counted(c_answers)}")

    print()
    say("compare", "A and B on what they find")
    await compare(client, a_search, b_search, ("A", "B"))
    found = await client.check_gate("gate/retrieval", b_search["id"], against=a_search["id"])
    print_gate(found)
    best, letter, best_answers = (b, "B", b_answers) if found["result"] == "passed" else (a, "A", a_answers)
    print()
    say("compare", f"{letter} and C on what they answer")
    await compare(client, best_answers, c_answers, (letter, "C"))
    answered = await client.check_gate("gate/answers", c_answers["id"], against=best_answers["id"])
    print_gate(answered)
    if answered["result"] == "passed":
        best, letter = c, "C"
    else:
        say("decision", f"nothing shows C to be better, so {letter} stays")
    print()
    return best, letter


async def run() -> None:
    """The whole demo."""
    copy_project()
    os.chdir(WORK)
    async with running_server(WORK) as url:
        say("server", f"{url}, data in {(WORK / '.tidemill').relative_to(ROOT)}")
        async with AsyncClient(url=url) as client:
            best, letter = await measure(client)
            await client.deploy(best, to="endpoint/handbook")
            say("deploy", f"release {letter} answers at endpoint/handbook")
            token = (WORK / ".tidemill" / "token").read_text("ascii").strip()
            release, trace, _ = await ask(url, token)
            say("release", release)
            print("\n".join(trace_tree(await client.trace(trace))))
        print(AFTERWARDS)
        if sys.stdin.isatty() and sys.stdout.isatty():
            print(f"It stays up at {url}\n{NEXT}", flush=True)
            await anyio.sleep_forever()


AFTERWARDS = """
This model has 135 million parameters: it proves the plumbing, not quality. For a real one, change three lines
of `kind: model` in .demo/handbook/tidemill/handbook.yaml, and nothing else:

  any OpenAI-compatible URL       Anthropic                       Ollama
    provider: openai                provider: anthropic             provider: openai
    model: gpt-5-mini               model: claude-haiku-4-5         model: qwen3:4b
    connection: mine                connection: mine                connection: ollama
  with a kind: connection that says where it is (base_url) and which key it takes (api_key: env:NAME).
"""
NEXT = """Type, in another terminal:
  cd .demo/handbook && export PATH=$PWD/../../.venv/bin:$PATH
  tidemill traces list                     what was asked
  tidemill get                             what there is
  tidemill rollback endpoint/handbook      the release before
Stop with Ctrl-C."""


def main() -> int:
    try:
        anyio.run(run)
    except KeyboardInterrupt:
        return 0
    except TidemillError as error:
        sys.stderr.write(f"error: {error}\n  {error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
