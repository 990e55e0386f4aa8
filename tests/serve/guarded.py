"""A platform with guardrails on the way of every call, and checks that do what a test tells them."""

from __future__ import annotations

import asyncio
import contextlib
import json

from serve.platform import serving
from tidemill.core.clock import Ids
from tidemill.flows.guard import standing_guardrail
from tidemill.models.checks.opened import open_guards

SECRET = "sk-abcdef012345"
GUARDRAILS = r"""
kind: guardrail
name: secrets
on: output
check: {regex: {pattern: 'sk-[a-z0-9]{12}', label: secret}}
action: redact
---
kind: guardrail
name: asked
on: input
check: {regex: {pattern: 'sk-[a-z0-9]{12}', label: secret}}
action: redact
---
kind: guardrail
name: words
on: output
check: {denylist: {words: [mutiny, kraken]}}
action: block
---
kind: guardrail
name: denied
on: input
check: {denylist: {words: [mutiny, kraken]}}
---
kind: guardrail
name: polite
on: input
check: {denylist: {words: [mutiny]}}
message: We do not speak of that.
---
kind: guardrail
name: polite-out
on: output
check: {denylist: {words: [mutiny]}}
message: We do not speak of that.
---
kind: guardrail
name: tools
on: tool
check: {denylist: {words: [mutiny]}}
---
kind: guardrail
name: watch
on: output
check: {denylist: {words: [storm]}}
action: escalate
---
"""


@contextlib.asynccontextmanager
async def guarding(folder, text, **options):
    async with serving(folder, GUARDRAILS + text, **options) as platform:
        open_guards(platform.models, database=platform.database, clock=platform.clock, ids=Ids(), compiled=standing_guardrail)
        yield platform


def events(content):
    """The data of server-sent events, parsed."""
    lines = [line[6:] for line in content.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


class Told:
    """A check that is told what to do: to find nothing, to fail, to wait until it is let go."""

    name = "told"

    def __init__(self, *, does="nothing"):
        self.does = does

    async def check(self, text):
        Told.seen.append(text)
        Told.asked.set()
        if self.does == "fail":
            raise ZeroDivisionError(text)
        if self.does == "hang":
            await asyncio.Event().wait()
        return []


Told.seen = []
Told.asked = asyncio.Event()
