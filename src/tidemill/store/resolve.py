"""References between the documents of one apply and into the registry: each resolved, or a problem with the nearest name."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection, select

from tidemill.core.errors import Denied, Invalid, NotFound, Problem
from tidemill.core.extend import ArtifactKind
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.store.config import list_configs
from tidemill.store.deleted import find_deleted
from tidemill.store.prepare import Preparation, Prepared, placed
from tidemill.store.registry import LATEST, check_project, find_version, get_version
from tidemill.store.tables import artifacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What a reference leads to: a document of this apply (`local`), a kept version, or configuration (neither)."""

    local: str | None = None
    version: Version | None = None


class Resolver:
    """Resolves the references of one apply; `problems` collects what cannot be."""

    def __init__(self, db: Connection, project: str, preparation: Preparation, kinds: Mapping[str, ArtifactKind]) -> None:
        self._db = db
        self._project = project
        self._kinds = kinds
        self._broken = preparation.broken
        self.items: dict[str, Prepared] = {each.document.bare: each for each in preparation.items if each.kind.versioned}
        self._configs = {each.document.bare for each in preparation.items if not each.kind.versioned}
        self.problems: list[Problem] = []
        self._looked_up: dict[Ref, Version | None] = {}

    def targets(self, item: Prepared) -> dict[str, Target]:
        """What each of a document's references, as written, leads to; those that lead nowhere become problems."""
        found: dict[str, Target] = {}
        for place, written in item.parsed.references.items():
            try:
                target = self._target(written, place)
            except (Invalid, NotFound, Denied) as error:
                problem = Problem(message=error.message, where=place, hint=error.hint)
                self.problems.append(placed(item.document, problem))
            else:
                if target is not None:
                    found[written] = target
        return found

    def order(self, targets: Mapping[str, Mapping[str, Target]]) -> list[str]:
        """The documents of this apply, each after all that it needs. A cycle becomes a problem."""
        needs = {
            bare: {target.local for target in of.values() if target.local is not None and target.local in targets}
            for bare, of in targets.items()
        }
        while True:
            try:
                return list(graphlib.TopologicalSorter(needs).static_order())
            except graphlib.CycleError as error:
                cycle: list[str] = list(reversed(error.args[1]))
                self._report_cycle(cycle, targets)
                needs[cycle[0]].discard(cycle[1])

    @cached_property
    def known(self) -> set[str]:
        """Every name that a reference could have meant."""
        query = select(artifacts.c.kind, artifacts.c.name).where(artifacts.c.project == self._project, artifacts.c.latest > 0)
        kept = {f"{row.kind}/{row.name}" for row in self._db.execute(query)}
        return kept | set(self.items) | self._broken | self._known_configs

    @cached_property
    def _known_configs(self) -> set[str]:
        return self._configs | {each.bare for each in list_configs(self._db, self._project)}

    def _target(self, written: str, place: str) -> Target | None:
        ref = parse_ref(written)
        check_project(ref, self._project)
        kind = self._kinds.get(ref.kind)
        if kind is not None and not kind.versioned:
            if ref.bare in self._known_configs or ref.bare in self._broken:
                return Target()
            raise self._unknown(written, ref, place)
        if ref.version in {None, LATEST}:
            if ref.bare in self.items:
                return Target(local=ref.bare)
            if ref.bare in self._broken:
                return None
        version = self._found(ref)
        if version is not None:
            return Target(version=version)
        if (ref.bare not in self.known or ref.version is None) and not find_deleted(self._db, self._project, ref):
            raise self._unknown(written, ref, place)
        if ref.bare in self.items and find_version(self._db, self._project, ref.at(None)) is None:
            raise NotFound(f"{place} refers to {written}, but {ref.bare} has no version yet", hint=f"Write {ref.bare}.")
        get_version(self._db, self._project, ref)
        raise AssertionError(written)

    def _found(self, ref: Ref) -> Version | None:
        """A kept version, asked for once however many refer to it."""
        if ref not in self._looked_up:
            self._looked_up[ref] = find_version(self._db, self._project, ref)
        return self._looked_up[ref]

    def _unknown(self, written: str, ref: Ref, place: str) -> NotFound:
        same_kind = [each for each in self.known if each.startswith(f"{ref.kind}/")]
        same_name = [each for each in self.known if each.endswith(f"/{ref.name}")]
        hint = did_you_mean(ref.bare, same_kind)
        if same_name and not hint.startswith("Did"):
            hint = f"Did you mean {min(same_name)}?"
        return NotFound(f"{place} refers to {written}, which does not exist", hint=hint)

    def _report_cycle(self, cycle: list[str], targets: Mapping[str, Mapping[str, Target]]) -> None:
        item = self.items[cycle[0]]
        written = {key for key, target in targets[cycle[0]].items() if target.local == cycle[1]}
        place = next(place for place, each in item.parsed.references.items() if each in written)
        message = f"it needs itself: {' -> '.join(cycle)}"
        self.problems.append(placed(item.document, Problem(message=message, where=place, hint="Take one of them out.")))
