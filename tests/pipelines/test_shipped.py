"""The pipeline that is shipped can be planned beside the project that it improves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from places import database_url
from tidemill.client import AsyncClient
from tidemill.core.settings import Settings

pytestmark = pytest.mark.anyio
LOOP = Path(__file__).resolve().parents[2] / "examples" / "loop" / "tidemill"


async def test_the_shipped_pipeline_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.delenv("TIDEMILL_URL", raising=False)
    shutil.copytree(LOOP, tmp_path / "tidemill")
    judge = tmp_path / "tidemill" / "judge.jsonl"  # the demonstration writes its own
    judge.write_text("".join(json.dumps({"text": f"text {n}", "intent": "alarm"}) + "\n" for n in range(3)))
    async with AsyncClient(
        settings=Settings(root=tmp_path, data=tmp_path / ".tidemill", database=database_url(tmp_path))
    ) as client:
        plan = await client.plan()
    assert "pipeline/improve" in {each["ref"].partition("@")[0] for each in plan["changes"]}
