"""Starting is cheap: nothing heavy is imported until it is used."""

from __future__ import annotations

import pytest

from house.processes import python

HEAVY = """
numpy scipy pandas sqlalchemy alembic fastapi starlette uvicorn httpx aiohttp rich pydantic openai anthropic dbos chdb
clickhouse_connect pyarrow faiss bm25s onnxruntime
tokenizers xllamacpp torch transformers jinja2 pypdf selectolax docutils genai_prices ruamel celpy
""".split()

START = {
    "import tidemill": "import tidemill",
    "tidemill --help": "from tidemill.cli.main import run; run(['--help'])",
    "tidemill --version": "from tidemill.cli.main import run; run(['--version'])",
    "tidemill eval --help": "from tidemill.cli.main import run; run(['eval', '--help'])",
}
EXPECTED_OF_HELP = {"rich", "pydantic"}  # a command's own help is drawn by what draws it; `--help` is not


@pytest.mark.parametrize("start", START)
def test_nothing_heavy_is_imported(start: str) -> None:
    ended = python("-c", f"import sys; {START[start]}; sys.stderr.write(' '.join(sys.modules))")
    assert ended.returncode == 0, ended.stderr
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    heavy = set(HEAVY) - (EXPECTED_OF_HELP if start == "tidemill eval --help" else set())
    assert loaded & heavy == set()


def test_every_command_is_in_the_help() -> None:
    shown = python("-c", "from tidemill.cli.main import run; run(['--help'])").stdout
    from tidemill.cli.commands import COMMANDS

    for name, command in COMMANDS.items():
        assert f" {name} " in shown
        assert command.summary in shown
