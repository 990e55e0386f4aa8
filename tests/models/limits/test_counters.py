"""Counters keep their promises, in memory and on a server."""

from __future__ import annotations

import pytest

from tidemill.testing.limits import check_counters

pytestmark = pytest.mark.anyio


async def test_counters_keep_their_promises(counters, clock, request):
    await check_counters(counters, clock, prefix=request.node.name)
