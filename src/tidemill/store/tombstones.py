"""What is left of a blob of rows after some were erased: `NAME.erased` beside the place of the blob `NAME`.

Its first line is `{"schema": "tidemill-erased/1", "blob", "content", "erased": [{"row", "at_ns", "why", "by"}]}`; `content` is
the digest of all that follows: the lines of the blob, an empty one in the place of each that was erased. So rows keep their
numbers, and nobody needs the registry to see that rows were erased and not lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tidemill.core.digests import canonical, digest_bytes
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.store.disk import disk_errors, write_whole

SCHEMA = "tidemill-erased/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """`erased` names each row that went by its digest, with when, why and by whom; `content` is the lines that are left."""

    erased: tuple[JsonObject, ...]
    content: bytes


def is_erased(path: Path) -> bool:
    """Whether rows of the blob with this place were erased."""
    return _place(path).exists()


def read_left(path: Path) -> Left | None:
    """What is left of the blob with this place; None when nothing was erased. Raises `Unavailable` when it is damaged."""
    place = _place(path)
    if not place.exists():
        return None
    with disk_errors(place):
        head, _, content = place.read_bytes().partition(b"\n")
    try:
        said = cast("Mapping[str, Any]", parse_json(head, what="a tombstone"))
        if said["schema"] == SCHEMA and said["content"] == digest_bytes(content):
            return Left(erased=tuple(said["erased"]), content=content)
    except (Invalid, KeyError, TypeError):
        pass
    hint = "Restore it from a copy."
    raise Unavailable("what is left of a blob after an erasure is damaged on the disk", where=str(place), hint=hint)


def write_left(path: Path, blob: str, content: bytes, erased: Sequence[JsonObject]) -> None:
    """Keep what is left of a blob beside its place."""
    told: list[Json] = list(erased)
    head = canonical({"schema": SCHEMA, "blob": blob, "content": digest_bytes(content), "erased": told})
    write_whole(_place(path), head + b"\n" + content)


def forget(path: Path) -> None:
    """Remove what is left too."""
    _place(path).unlink(missing_ok=True)


def _place(path: Path) -> Path:
    return path.with_name(f"{path.name}.erased")
