"""From the name a caller gave as `model` to the application that answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import Connection

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.records import Bundle
from tidemill.core.refs import Ref, parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.serve.endpoints import LiveEndpoints
from tidemill.serve.kinds import ROOTS
from tidemill.serve.rollout import Split, Variant
from tidemill.store import endpoints, registry, release
from tidemill.store.access import Principal
from tidemill.store.database import Database
from tidemill.store.projects import no_project

_REMEMBERED: Final = 256


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What answers a request: an application, and the endpoint it stands behind, if any, with its own `environment`.

    While a rollout runs there is a `split`, and `variant` says which side of it this is once that is decided.
    """

    bundle: Bundle
    endpoint: str | None = None
    environment: str | None = None
    split: Split | None = None
    variant: Variant | None = None

    def decided(self, asker: str) -> Target:
        """The target for one caller; the same when there is nothing to decide."""
        if self.split is None:
            return self
        variant = self.split.variant(asker)
        return msgspec.structs.replace(self, variant=variant, bundle=self.split.canary if variant == "canary" else self.bundle)


class Resolver:
    """Finds the target of a model name, and says no where the caller's key does not reach."""

    def __init__(self, *, database: Database, live: LiveEndpoints) -> None:
        self._database = database
        self._live = live
        self._bundles: OrderedDict[tuple[str, str, str], Bundle] = OrderedDict()

    async def resolve(self, model: str, *, project: str, principal: Principal, kinds: Collection[str] = ROOTS) -> Target:
        """`endpoint/NAME` or `NAME` alone, or one of `kinds` such as `chain/NAME@…`. Raises `NotFound` or `Denied`."""
        try:
            return await self._resolve(_parse(model, kinds), project=project, principal=principal)
        except NotFound as error:
            raise NotFound(error.message, hint=error.hint, where="model") from error

    async def _resolve(self, ref: Ref, *, project: str, principal: Principal) -> Target:
        if ref.project not in {None, project}:
            raise no_project(ref.project or "")
        if ref.kind == "endpoint":
            principal.check_endpoint(ref.name)
            live = await self._live.get(project, ref.name)
            return Target(bundle=live.bundle, endpoint=ref.name, environment=live.endpoint.environment, split=live.split)
        principal.check_application(ref.kind, ref.name)
        return Target(bundle=await self._bundle(project, ref))

    async def names(self, *, project: str, principal: Principal) -> list[tuple[str, int]]:
        """Every model name that the caller may use, endpoints first, and when it was made (seconds since the epoch)."""

        def read(db: Connection) -> list[tuple[str, int]]:
            found = [
                (f"endpoint/{each.name}", each.updated_ns // 10**9)
                for each in endpoints.list_endpoints(db, project)
                if principal.endpoints is None or each.name in principal.endpoints
            ]
            direct = [each for kind in (*ROOTS, "embedder") for each in _artifacts(db, project, kind)]
            return found + [each for each in direct if principal.may_call(*each[0].split("/", 1))]

        return await self._database.read(read)

    async def _bundle(self, project: str, ref: Ref) -> Bundle:
        """The application under its root's digest: what an alias means may change, what hangs below a digest does not."""
        ref = Ref(kind=ref.kind, name=ref.name, version=ref.version)
        wanted = ("version", project, str(ref))
        root = await self._database.remember(wanted, lambda db: registry.get_version(db, project, ref))
        if ref.kind not in ROOTS:  # an embedder or a guardrail answers by itself, and needs nothing else
            return Bundle(release=root.digest, root=root, versions={root.digest: root})
        key = (project, root.bare, root.digest)
        bundle = self._bundles.get(key)
        if bundle is None:
            exact = ref.at(root.digest)
            bundle = await self._database.remember(("bundle", *key), lambda db: release.load_bundle(db, project, exact))
            self._bundles[key] = bundle
            if len(self._bundles) > _REMEMBERED:
                self._bundles.popitem(last=False)
        return bundle


def _parse(model: str, kinds: Collection[str]) -> Ref:
    try:
        ref = parse_ref(model if "/" in model else f"endpoint/{model}")
    except Invalid as error:
        raise NotFound(f"there is no model {model[:200]!r}", hint=error.hint) from error
    if ref.kind != "endpoint" and ref.kind not in kinds:
        known = did_you_mean(ref.kind, ["endpoint", *kinds])
        raise NotFound(f"a {ref.kind} does not answer here: {model!r}", hint=known)
    return ref


def _artifacts(db: Connection, project: str, kind: str) -> list[tuple[str, int]]:
    """The newest of each; a prompt answers by itself only when it names its model."""
    page = registry.list_artifacts(db, project, kind=kind, limit=500)
    latest = [each.latest for each in page.items if kind != "prompt" or "model" in each.latest.spec]
    return [(each.bare, each.created_ns // 10**9) for each in latest]
