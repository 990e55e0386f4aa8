"""Inputs and outputs too large for a row: encrypted files, one a value, named so that nobody can tell whose they are.

A row keeps the beginning of such a value, so searches and lists see that much of it, and in `input_at` or `output_at` the name
of the file. The name is an HMAC of trace, span and field, so the same span sent again writes the same file, and erasing a span
takes no other's. A file is the nonce and the AES-256-GCM cipher text of the value's JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tidemill.core.errors import NotFound, Unavailable
from tidemill.core.json import Json
from tidemill.core.refs import check_name
from tidemill.store.disk import disk_errors, sync_folder, write_whole
from tidemill.store.encryption import decrypt, encrypt
from tidemill.telemetry.engine.protocol import Engine

Field: TypeAlias = Literal["input", "output"]
FIELDS: Final[tuple[Field, ...]] = ("input", "output")
LARGEST_INLINE: Final = 64 * 1024
"""A value of more bytes, as JSON, lies in a file."""
LARGEST: Final = 64 * 1024 * 1024
"""A value of more bytes is cut."""
PREVIEW: Final = 4 * 1024
"""How many characters of it, at most, stand in the row."""
_NAME: Final = re.compile(r"[0-9a-f]{64}")
_ENCRYPT: Final = "payloads"
_NAMES: Final = "payload names"


class Payloads:
    """The files of all projects below one folder. `key` gives a project's key for a purpose. Call all of it on a thread."""

    def __init__(self, folder: Path, key: Callable[[str, str], bytes]) -> None:
        self.folder = folder
        self._key = key

    def name(self, project: str, trace_id: str, span_id: str, field: Field) -> str:
        """What the file of a span's input or output is called."""
        about = f"{trace_id}/{span_id}/{field}".encode()
        return hmac.digest(self._key(project, _NAMES), about, hashlib.sha256).hex()

    def put(self, project: str, name: str, content: bytes) -> None:
        """Keep content; it survives a loss of power when this returns. Raises `StorageFull` or `Unavailable`."""
        path = self._path(project, name)
        if not path.parent.is_dir():
            with disk_errors(path):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(path.parent.parent)
        write_whole(path, encrypt(content, self._key(project, _ENCRYPT), about=f"{project}/{name}"), mode=0o600)

    def get(self, project: str, name: str) -> bytes:
        """The content. Raises `NotFound` when its time is over or it was erased, `Unavailable` when it is damaged."""
        path = self._path(project, name)
        try:
            with disk_errors(path):
                sealed = path.read_bytes()
        except Unavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise NotFound("the whole value is not kept any more; the row has its beginning") from error
            raise
        return decrypt(sealed, self._key(project, _ENCRYPT), about=f"{project}/{name}")

    def remove(self, project: str, name: str) -> bool:
        """Remove a file; whether it was there."""
        path = self._path(project, name)
        with disk_errors(path):
            if not path.exists():
                return False
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        return True

    def has(self, project: str) -> bool:
        """Whether the project has any."""
        return (self.folder / check_name(project, what="project")).is_dir()

    def names(self, project: str, *, before: float | None = None) -> Iterator[str]:
        """Every file of a project, or those written before a time (seconds since the epoch)."""
        for path in sorted((self.folder / check_name(project, what="project")).glob("??/*")):
            name = path.parent.name + path.name
            with contextlib.suppress(FileNotFoundError):
                if _NAME.fullmatch(name) and (before is None or path.stat().st_mtime < before):
                    yield name

    def projects(self) -> list[str]:
        """The projects that have any."""
        return sorted(each.name for each in self.folder.iterdir()) if self.folder.is_dir() else []

    def _path(self, project: str, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise NotFound(f"{name[:80]!r} is not the name of a payload")
        return self.folder / check_name(project, what="project") / name[:2] / name[2:]


async def place_of(engine: Engine, project: str, trace_id: str, span_id: str, field: Field) -> tuple[str, str]:
    """What the row of a span has of a value, as JSON, and the name of the file with all of it, if any. Raises `NotFound`."""
    rows = await engine.query(
        f"SELECT {field}, {field}_at FROM spans WHERE project = {{project:String}} AND trace_id = {{trace:String}}"  # noqa: S608  (a column of ours)
        " AND span_id = {span:String} ORDER BY received DESC LIMIT 1",
        {"project": project, "trace": trace_id, "span": span_id},
    )
    if not rows:
        raise NotFound(f"trace {trace_id} has no span {span_id}", hint=f"See: tidemill traces show {trace_id}")
    return str(rows[0][0]), str(rows[0][1])


def preview_of(value: Json, text: str, size: int) -> str:
    """The beginning of a value, and how much there is: of a conversation what was said last, of what is no text its JSON."""
    return f"{(_said_last(value) or text)[:PREVIEW]} … ({size:,} bytes; the rest is kept apart)"


def _said_last(value: Json, depth: int = 5) -> str:
    """A text as it is, of messages the text of the last; empty when there is none."""
    if isinstance(value, str) or not depth:
        return value if isinstance(value, str) else ""
    if isinstance(value, Mapping):
        said = value.get("messages")
        if isinstance(said, Sequence) and not isinstance(said, str) and said:
            return _said_last(said[-1], depth - 1)
        return next((text for name in ("text", "content") if (text := _said_last(value.get(name), depth - 1))), "")
    if isinstance(value, Sequence):
        return "\n".join(
            filter(None, (_said_last(each, depth - 1) for each in value if isinstance(each, Mapping) and "type" in each))
        )
    return ""
