"""Whether the secrets that an application refers to are there, asked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection as Database

from tidemill.api.caller import Caller
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.models.needs import Need, missing_secrets, needs_of, refuse_missing
from tidemill.store import release


async def check_secrets(call: Caller, versions: Iterable[Version], *, environment: str) -> None:
    """Raise one `Denied` that names every secret that the models among `versions` need there and that is missing."""
    kept = tuple(each for each in versions if each.kind in {"model", "embedder"})
    if not kept:
        return

    def work(db: Database) -> tuple[Need, ...]:
        return needs_of(db, call.project, kept, environment)

    refuse_missing(missing_secrets(await call.platform.database.read(work)), environment=environment)


async def check_named(call: Caller, references: Iterable[str], *, environment: str) -> None:
    """The same of every application among `references`; what is none, or is not there yet, is passed over."""
    wanted = sorted(set(references))

    def work(db: Database) -> list[Version]:
        found: list[Version] = []
        for each in wanted:
            try:
                found += release.load_bundle(db, call.project, parse_ref(each)).versions.values()
            except (Invalid, NotFound):
                continue
        return found

    await check_secrets(call, await call.platform.database.read(work), environment=environment)
