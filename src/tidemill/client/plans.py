"""Plan and apply, as calls."""

from __future__ import annotations

from typing import cast

import anyio

from tidemill.client import shapes
from tidemill.client.files import Collected, collect
from tidemill.client.jobs import JobCalls
from tidemill.client.upload import upload
from tidemill.core.json import Json, JsonObject


class PlanCalls(JobCalls):
    """Calls about plans and applies."""

    async def plan(self, collected: Collected | None = None) -> shapes.Plan:
        """What an apply of these files (default: the project's) would change."""
        return cast("shapes.Plan", await self._send_files("/plan", collected))

    async def apply(
        self,
        collected: Collected | None = None,
        *,
        expected: str | None = None,
        strict: bool = False,
        whole: bool = True,
        wait: bool = True,
    ) -> shapes.Applied:
        """Apply these files (default: the project's): all of them or none. `wait` also for the builds.

        Raises `Conflict` with `expected`, the digest of a plan, when it would do anything else; and with `strict` when it would
        undo what another door did to the registry since. `whole` says that they are all of the project's files.
        """
        more: JsonObject = {"expected": expected, "strict": strict, "whole": whole}
        applied = cast("shapes.Applied", await self._send_files("/apply", collected, more))
        for job in applied.get("jobs", ()) if wait else ():
            await self.finish(job)
        return applied

    async def _send_files(self, path: str, collected: Collected | None, more: JsonObject | None = None) -> Json:
        if collected is None:
            collected = await anyio.to_thread.run_sync(collect, self.settings)
        await upload(self._line, collected)
        return await self._line.send("POST", path, body={"files": collected.manifest(), **(more or {})})
