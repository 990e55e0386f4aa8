"""Gates: hold an evaluation to its rules; every decision is kept."""

from __future__ import annotations

import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.evaluated import read_evaluated
from tidemill.api.router import Router
from tidemill.core.errors import NotFound
from tidemill.core.json import JsonObject
from tidemill.core.refs import parse_ref
from tidemill.evaluation.gate import Decision, decide
from tidemill.evaluation.gate_rules import GateRule
from tidemill.evaluation.kinds import gate_rule
from tidemill.evaluation.results import Evaluated
from tidemill.store import audit, evaluations, registry, release
from tidemill.store.endpoints import get_endpoint

router = Router(tags=["evaluations"])


class GateCheck(Body):
    """The candidate's evaluation, and the incumbent's where the gate tests against one."""

    evaluation: str
    against: str | None = None


@router.post("/gates/{name}:check", response_model=None)
async def check_gate(call: AnyCaller, name: str, body: GateCheck) -> JsonObject:
    """`passed`, `failed`, `inconclusive` or `error`, with a reason for each check. Nothing but `passed` lets a candidate in."""
    ref = parse_ref(name, kind="gate")
    version = await call.platform.database.read(lambda db: registry.get_version(db, call.project, ref))
    rule = gate_rule(version)
    candidate = await read_evaluated(call, body.evaluation)
    against = body.against or await _incumbent(call, rule, candidate)
    incumbent = await read_evaluated(call, against) if against else None
    decision = await anyio.to_thread.run_sync(decide, rule, candidate, incumbent)
    detail = {**decision.to_json(), "gate_digest": version.digest, "gate_version": version.ref}
    await _keep(call, decision, detail)
    return detail


async def _incumbent(call: Caller, rule: GateRule, candidate: Evaluated) -> str | None:
    """The newest finished evaluation, on the same dataset, of what the gate's `against` names."""
    against = rule.against
    if against is None:
        return None

    def work(db: Database) -> str | None:
        digest = (
            get_endpoint(db, call.project, against).release
            if against.startswith("endpoint/")
            else release.load_bundle(db, call.project, against).release
        )
        found = evaluations.list_evaluations(db, call.project, release=digest, dataset=candidate.dataset)
        return next((each.id for each in found.items if each.status == "done"), None)

    try:
        return await call.platform.database.read(work)
    except NotFound:
        return None


async def _keep(call: Caller, decision: Decision, detail: JsonObject) -> None:
    now_ns = call.platform.clock.now_ns()
    row = evaluations.Decision(
        gate=decision.gate,
        evaluation=decision.evaluation,
        against=decision.against,
        result=decision.result,
        detail=detail,
        decided_ns=now_ns,
    )
    told: JsonObject = {"evaluation": decision.evaluation, "against": decision.against, "result": decision.result}
    target = f"gate/{decision.gate.removeprefix('gate/')}"

    def work(db: Database) -> None:
        evaluations.put_decision(db, call.project, row)
        audit.append(db, call.project, who=call.who, action="gate.decided", target=target, detail=told, now_ns=now_ns)

    await call.platform.database.write(work)
