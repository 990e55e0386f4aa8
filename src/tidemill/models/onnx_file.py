"""The files that an embedder's document names: an ONNX model and its tokenizer, by digest or by path in the project."""

from __future__ import annotations

from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files
from tidemill.core.refs import is_digest

_ROLES = ("file", "tokenizer")


def embedder_files(
    file: str | None, tokenizer: str | None, *, provider: str, files: Files
) -> tuple[dict[str, str], list[Problem]]:
    """The blobs of `file` and `tokenizer` by role, and what is wrong with them: both or neither, only for what runs here."""
    given = {role: value for role, value in zip(_ROLES, (file, tokenizer), strict=True) if value is not None}
    if not given:
        return {}, []
    if provider != "local":
        where = next(iter(given))
        return {}, [Problem(message=f"the provider {provider} takes no {where}", where=where, hint="Write provider: local.")]
    missing = [role for role in _ROLES if role not in given]
    if missing:
        hint = "An embedder of one's own is file: MODEL.onnx with tokenizer: tokenizer.json."
        return {}, [Problem(message=f"{missing[0]!r} is missing", where=missing[0], hint=hint)]
    blobs: dict[str, str] = {}
    problems: list[Problem] = []
    for role, value in given.items():
        try:
            blobs[role] = _blob(role, value, files)
        except Invalid as error:
            problems.append(Problem(message=error.message, where=role, hint=error.hint))
    return blobs, problems


def _blob(role: str, value: str, files: Files) -> str:
    if value.startswith("sha256:"):
        if not is_digest(value):
            raise Invalid(f"{value[:80]!r} is not a digest", hint="Write sha256: and 64 hexadecimal digits.")
        if not files.has_blob(value):
            raise Invalid(f"the file {value} is not kept here", hint="Add it first: tidemill models add FILE.onnx")
        return value
    content = files.read(value)
    begins = b"\x08" if role == "file" else b"{"
    if content.lstrip()[:1] != begins:
        what = "an ONNX model" if role == "file" else "a tokenizer.json"
        raise Invalid(f"{value} is not {what}: it begins with {content[:4]!r}", hint="Export it again.")
    return files.put_blob(content)
