"""The steps of a pipeline by which a release reaches its users: a person's approval, a share of the traffic, all of it."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection as Database

from tidemill.api import rollouts
from tidemill.api.caller import Caller
from tidemill.api.etags import Precondition
from tidemill.api.pipeline_caller import caller_of
from tidemill.api.platform import Platform
from tidemill.api.releases import lock_bundle
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import is_digest, parse_ref
from tidemill.pipelines.after import After, parse_after
from tidemill.pipelines.step import NotPassed, StepContext
from tidemill.store import approvals, rollout_rows
from tidemill.store import rollouts as rollout_store
from tidemill.store.approvals import Approval
from tidemill.store.rollout_rows import Rollout
from tidemill.telemetry.questions.variants import RolloutSpans

_COUNT_SECONDS: Final = 2.0


class ReleaseSteps:
    """`approve`, `rollout` and `promote`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def approve(self, args: JsonObject, context: StepContext) -> Json:
        """Wait until a person approves the release: in the role asked for, and not whoever started the run."""
        platform, project = self._platform, context.project
        call = caller_of(platform, context)
        digest = await _digest(call, str(args["release"]))
        role, target = _text(args, "role"), _text(args, "target")

        def work(db: Database) -> Approval | None:
            now_ns = platform.clock.now_ns()
            for each in approvals.for_release(db, project, digest):
                fits = role in {None, each.role} and (target is None or each.is_for(target))
                if fits and each.who != context.who and each.state(now_ns) == "valid":
                    return each
            return None

        async def look() -> Approval | None:
            return await platform.database.read(work)

        wanted = f" --role {role}" if role else ""
        note = f"an approval: tidemill approve {digest}{wanted} --reason TEXT"
        seconds = args.get("timeout")
        given = await context.wait(note, look, seconds=seconds if isinstance(seconds, int | float) else None)
        context.log(f"approved by {given.who} as {given.role}: {given.reason}")
        return {"approval": given.id, "release": digest, "who": given.who, "role": given.role, "reason": given.reason}

    async def rollout(self, args: JsonObject, context: StepContext) -> Json:
        """Let a share of an endpoint's callers have the release; a rollout that tries it there already is taken as it is."""
        platform, project = self._platform, context.project
        call = caller_of(platform, context)
        digest = await _digest(call, str(args["release"]))
        endpoint = parse_ref(str(args["endpoint"]), kind="endpoint").name
        running = await platform.database.read(lambda db: rollout_rows.running_rollout(db, project, endpoint))
        if running is not None and running.release == digest:
            context.log(f"endpoint/{endpoint} tries {digest[:19]}… at {running.share:g} % already")
            return _rollout_json(rollouts.rollout_json(running))
        share = args.get("share")
        body = rollouts.NewRollout(
            endpoint=endpoint, app=digest, share=float(share) if isinstance(share, int | float) else 10.0
        )
        started = await rollouts.start_rollout(call, body)
        context.log(f"endpoint/{endpoint} gives {digest[:19]}… {started['share']:g} % of its traffic")
        return _rollout_json(started)

    async def promote(self, args: JsonObject, context: StepContext) -> Json:
        """Wait until the canary has had enough requests or time, then give it all of the traffic."""
        platform, project = self._platform, context.project
        endpoint = parse_ref(str(args["endpoint"]), kind="endpoint").name
        name = _text(args, "rollout") or endpoint
        after = parse_after(str(args["after"])) if args.get("after") else After()

        async def look() -> Rollout | None:
            found = await platform.database.read(lambda db: rollout_store.get_rollout(db, project, name))
            if found.status == "aborted":
                raise NotPassed(f"the rollout at endpoint/{endpoint} was aborted: {found.why or 'no reason given'}")
            if found.status == "promoted":
                return found
            seconds = (platform.clock.now_ns() - found.started_ns) / 1e9
            requests = 0 if after.requests is None else await self._requests(found)
            return found if after.is_enough(requests=requests, seconds=seconds) else None

        seconds = args.get("timeout")
        found = await context.wait(
            f"traffic at endpoint/{endpoint}: {args.get('after')}",
            look,
            seconds=seconds if isinstance(seconds, int | float) else None,
            every=_COUNT_SECONDS,
        )
        if found.status == "running":
            why = f"pipeline/{context.pipeline} run {context.run}: {args.get('after') or 'at once'}"
            call, body = caller_of(platform, context), rollouts.Ending(why=why)
            ended = await rollouts.promote_rollout(call, found.id, Precondition(), body)
        else:
            ended = rollouts.rollout_json(found)
        context.log(f"endpoint/{endpoint} serves {found.release[:19]}… to all")
        return _rollout_json(ended)

    async def _requests(self, rollout: Rollout) -> int:
        await self._platform.telemetry.flush()
        spans = RolloutSpans(
            project=rollout.project, endpoint=rollout.endpoint, rollout=rollout.id, since_ns=rollout.started_ns
        )
        counts = await self._platform.telemetry.count_variants(spans)
        return counts["canary"].requests if "canary" in counts else 0


async def _digest(call: Caller, reference: str) -> str:
    return reference if is_digest(reference) else (await lock_bundle(call, reference)).release


def _rollout_json(shown: dict[str, Any]) -> Json:
    return {
        "rollout": shown["id"],
        "endpoint": f"endpoint/{shown['endpoint']}",
        "release": shown["canary"]["release"],
        "stable": shown["stable"]["release"],
        "share": shown["share"],
        "status": shown["status"],
    }


def _text(args: JsonObject, key: str) -> str | None:
    value = args.get(key)
    return None if value is None else str(value)
