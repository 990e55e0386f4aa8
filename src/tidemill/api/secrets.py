"""In which environment something runs, and whether the secrets that it refers to are there, asked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection as Database

from tidemill.api.caller import Caller
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.json import Json
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.models.needs import Need, is_reached, missing_secrets, needs_of, refuse_missing
from tidemill.store import environments, release


async def environment_of(call: Caller, wanted: str | None) -> str:
    """The environment that was asked for, else the server's own. Raises `NotFound` for one that is not known."""
    own = call.platform.settings.environment
    if wanted is None or wanted == own:
        return own
    found = await call.platform.database.read(lambda db: environments.get_environment(db, call.project, wanted, own=own))
    return found.name


async def check_secrets(call: Caller, versions: Iterable[Version], *, environment: str) -> None:
    """Raise one `Denied` that names every secret that the models among `versions` need there and that is missing."""
    kept = tuple(each for each in versions if is_reached(each))
    if not kept:
        return

    def work(db: Database) -> tuple[Need, ...]:
        return needs_of(db, call.project, kept, environment)

    refuse_missing(missing_secrets(await call.platform.database.read(work)), environment=environment)


async def check_named(call: Caller, spec: Json) -> None:
    """The same of every application that the texts of `spec` name; what names none that is there is passed over."""
    wanted = sorted(set(_texts(spec)))

    def work(db: Database) -> list[Version]:
        found: list[Version] = []
        for each in wanted:
            try:
                found += release.load_bundle(db, call.project, parse_ref(each)).versions.values()
            except (Invalid, NotFound):
                continue
        return found

    await check_secrets(call, await call.platform.database.read(work), environment=call.platform.settings.environment)


def _texts(spec: Json) -> Iterator[str]:
    """The texts in it that may name an application."""
    if isinstance(spec, str):
        if spec.partition("/")[0] in release.ROOT_KINDS:
            yield spec
    elif isinstance(spec, Mapping):
        for each in spec.values():
            yield from _texts(each)
    elif isinstance(spec, Sequence):
        for each in spec:
            yield from _texts(each)
