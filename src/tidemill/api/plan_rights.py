"""What somebody needs besides `develop` to apply a plan: nobody changes by a file what they may not change by hand."""

from __future__ import annotations

from typing import Final

from tidemill.api.caller import Caller
from tidemill.core.records import Version
from tidemill.flows.names import steps_in
from tidemill.store.plan import Plan

_DEPLOYS: Final = frozenset({"deploy", "rollout", "promote"})


def check_plan(call: Caller, plan: Plan) -> None:
    """Raise `Denied` for a change that the caller may not make.

    What an endpoint follows is `deploy`'s to say; so is a pipeline that starts by itself and deploys: it acts for its writer.
    """
    changed = {each.ref for each in plan.changes}
    for ref in sorted(changed):
        call.check("develop", ref)
        if ref.startswith("endpoint/"):
            call.check("deploy", ref)
    for each in plan.entries:
        if each.version is not None and each.version.bare in changed and each.version.spec.get("on"):
            check_deploys(call, each.version)


def check_deploys(call: Caller, pipeline: Version) -> None:
    """Raise `Denied` when a pipeline deploys, and the caller may not, anywhere."""
    deploys = pipeline.kind == "pipeline" and any(each["do"] in _DEPLOYS for each in steps_in(pipeline.spec.get("steps")))
    if deploys and not call.principal.may_somewhere("deploy"):
        call.check("deploy", pipeline.bare)
