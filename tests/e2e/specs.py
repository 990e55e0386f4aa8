"""Projects that the tests apply."""

from __future__ import annotations

from pathlib import Path

SLOW = """
kind: model
name: slow
provider: test
reply: "one two three four five six seven eight nine ten eleven twelve"
tokens_per_second: 12
"""

TIDES = """
kind: embedder
name: words
provider: test
---
kind: index
name: docs
source: documents
embed: embedder/words
---
kind: prompt
name: answer
messages:
  - {role: user, content: "{{context}} Question: {{question}}"}
variables: [question, context]
---
kind: model
name: right
provider: test
reply: "The answer is the moon."
---
kind: chain
name: app
inputs: {question: string}
steps:
  - {id: find, retrieve: {index: index/docs, query: "{{question}}", k: 2, mode: hybrid}}
  - {id: answer, prompt: prompt/answer, model: model/right, with: {question: "{{question}}", context: "{{find}}"}}
output: "{{answer.text}}"
---
kind: dataset
name: questions
path: questions.csv
roles: {id: id, input: question, reference: answer, gold: gold}
"""

QUESTIONS = "id,question,answer,gold\n" + "".join(
    f"q{number},What moves the tide at place {number}?,the moon,{'tides.md' if number % 2 else 'winds.md'}\n"
    for number in range(12)
)

DOCUMENTS = {
    "tides.md": "# Tides\n\nThe moon moves the tide at every place, twice a day.\n\n## Neap\n\nNeap tides are small.\n",
    "winds.md": "# Winds\n\nThe sun moves the wind. Trade winds blow to the west.\n",
    "rocks.md": "# Rocks\n\nGranite is hard, chalk is soft.\n",
}


def write_tides(folder: Path) -> None:
    """The whole project: documents, dataset and specs."""
    (folder / "tidemill").mkdir()
    (folder / "documents").mkdir()
    for name, text in DOCUMENTS.items():
        (folder / "documents" / name).write_text(text, "utf-8")
    (folder / "questions.csv").write_text(QUESTIONS, "utf-8")
    (folder / "tidemill" / "app.yaml").write_text(TIDES, "utf-8")


def answering(name: str, script: str) -> str:
    """A prompt-and-model chain `chain/NAME`; `script` is the model's `reply` or `script` as YAML."""
    return f"""
kind: model
name: {name}
provider: test
{script}
---
kind: prompt
name: {name}
text: "{{{{question}}}}"
variables: [question]
---
kind: chain
name: {name}
inputs: {{question: string}}
steps:
  - {{id: answer, prompt: prompt/{name}, model: model/{name}, with: {{question: "{{{{question}}}}"}}}}
output: "{{{{answer.text}}}}"
"""
