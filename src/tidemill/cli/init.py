"""`tidemill init`: a project that runs as it is written."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tidemill.cli.scaffold import Scaffold, sample_scaffold, source_scaffold, write
from tidemill.cli.screen import say, say_json, wrapped
from tidemill.core.errors import Invalid

Template = Literal["rag", "classification", "summarisation", "translation", "chat", "agent"]
_ABOUT: Mapping[str, str] = {
    "rag": "questions answered from documents",
    "classification": "a label for each message",
    "summarisation": "one sentence for each report",
    "translation": "texts of an interface in two languages",
    "chat": "an assistant that is given the whole conversation",
    "agent": "a model that calls tools",
}
_NEXT: Mapping[str, tuple[str, str, str]] = {
    "rag": ("chain/answer", "dataset/questions", "recall_at_k"),
    "classification": ("chain/classify", "dataset/messages", "exact_match"),
    "summarisation": ("chain/summarise", "dataset/reports", "token_f1 groundedness_overlap"),
    "translation": ("chain/translate", "dataset/texts", "token_f1"),
    "chat": ("prompt/assistant", "dataset/conversations", "contains"),
    "agent": ("agent/desk", "dataset/questions", "contains"),
}
_ASK: Mapping[str, str] = {
    "classification": 'message="The parcel has not arrived"',
    "summarisation": 'report="At 06:40 the main pump at the north station lost pressure."',
    "translation": 'text="Book a room" --input language=German',
    "chat": 'message="Are you open on Sunday?"',
    "agent": 'question="Where is my order A100?"',
}


def init(
    folder: Path = Path(),
    /,
    *,
    template: Template | None = None,
    source: Path | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Make a project from a template: commented YAML, a small dataset and a gate. It runs as it is written.

    Templates: rag (questions answered from documents), classification, summarisation, translation, chat, agent.

    :param folder: Where; it is made when it is missing. Default: here.
    :param template: What kind of application. Default: rag with --source, else chat.
    :param source: Your documents, for rag: a folder of Markdown, HTML, text, reStructuredText or PDF. One outside the
        project's folder is copied into it.
    :param force: Write over files that exist.
    :param json: Print one JSON document.
    """
    chosen = template or ("rag" if source is not None else "chat")
    if source is not None and chosen != "rag":
        raise Invalid(f"the template {chosen} takes no --source", hint="Use --template rag.")
    scaffold = source_scaffold(folder, source) if source is not None else sample_scaffold(chosen)
    written = write(scaffold, folder, force=force)
    if json:
        say_json({"folder": str(folder.resolve()), "template": chosen, "files": written, "notes": list(scaffold.notes)})
        return
    _print_made(folder, chosen, scaffold, written)


def _print_made(folder: Path, template: str, scaffold: Scaffold, written: list[str]) -> None:
    say(f"{folder}  {template}: {_ABOUT[template]}")
    shown = [each for each in written if not each.startswith("documents/")]
    for each in shown:
        say(f"  + {each}")
    if len(shown) < len(written):
        say(f"  + documents/  {len(written) - len(shown)} files")
    for note in scaffold.notes:
        for line in wrapped(note, indent="  "):
            say(line)
    app, dataset, scorers = _NEXT[template]
    options = " ".join(f"--scorer {each}" for each in scorers.split())
    here = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(os.fspath(folder))} && "
    ask = _ASK.get(template) or f"question={shlex.quote(scaffold.first_question)}"
    say()
    say(f"Next      {here}tidemill apply")
    say(f"          tidemill run {app} --input {ask}")
    say(f"          tidemill eval {app} --data {dataset} {options}")
    say("          tidemill gate gate/release EVALUATION")


COMMAND = init
