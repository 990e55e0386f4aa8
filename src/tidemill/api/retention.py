"""Keeping telemetry no longer than the rules of each project say; and what these rules are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from tidemill.api.caller import AnyCaller
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.core.errors import TidemillError
from tidemill.store.projects import list_projects
from tidemill.telemetry.privacy.retention import sweep_payloads, thin_out
from tidemill.telemetry.rules import Rules

router = Router(tags=["traces"])
_ORPHANED_NS: Final = 24 * 3600 * 10**9
_log = logging.getLogger(__name__)


class RetentionLook:
    """Thins out, for `Schedules.also`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def look(self) -> Sequence[str]:
        """Thin out now; it starts nothing that anybody would follow."""
        await thin_out_all(self._platform, now_ns=self._platform.clock.now_ns())
        return ()


async def thin_out_all(platform: Platform, *, now_ns: int) -> None:
    """Apply every project's retention. What fails for one project does not keep the others."""
    gate = platform.telemetry.gate
    for project in await platform.database.read(list_projects):
        try:
            rules = await gate.rules(project)
            if rules.retention:
                await thin_out(platform.telemetry, project, rules.retention, now_ns=now_ns)
            if gate.payloads is not None and gate.payloads.has(project):
                await sweep_payloads(platform.telemetry, project, before_s=(now_ns - _ORPHANED_NS) / 1e9)
        except TidemillError as error:
            _log.warning("telemetry of project %s was not thinned out: %s", project, error)


@router.get("/telemetry")
async def get_telemetry(call: AnyCaller) -> dict[str, Any]:
    """What the project keeps of its spans at the moment, in which form, and for how long."""
    return rules_json(await call.platform.telemetry.gate.rules(call.project))


def rules_json(rules: Rules) -> dict[str, Any]:
    """A project's rules in short; `retention` is in seconds, null for ever, and what is not named is kept."""
    cleaner = rules.cleaner
    capture = rules.capture
    return {
        "version": rules.version or None,
        "capture": {
            "default": capture.default,
            "endpoints": {**capture.endpoints, **capture.narrowed},
            "kinds": dict(capture.kinds),
        },
        "redact": [] if cleaner is None else [each.name for each in cleaner.texts],
        "fields": 0 if cleaner is None else len(cleaner.fields),
        "users": "hash" if rules.hashes_users else "keep",
        "retention": dict(rules.retention),
    }
