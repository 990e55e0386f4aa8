"""The model file that a document names: a GGUF, by the digest of a blob that is kept, or by its path in the project."""

from __future__ import annotations

from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files
from tidemill.core.refs import is_digest

MAGIC = b"GGUF"
_PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def model_file(given: str | None, *, provider: str, files: Files) -> tuple[str | None, list[Problem]]:
    """The blob of a model document's `file`, and what is wrong with it. Only the local engine takes a file."""
    if given is None:
        return None, []
    if provider != "local":
        return None, [Problem(message=f"the provider {provider} takes no file", where="file", hint="Write provider: local.")]
    if given.startswith("sha256:"):
        return _kept(given, files)
    try:
        content = files.read(given)
        check_gguf(content, name=given)
    except Invalid as error:
        return None, [Problem(message=error.message, where="file", hint=error.hint)]
    return files.put_blob(content), []


def check_gguf(content: bytes, *, name: str) -> None:
    """Raise `Invalid` for what is not a GGUF. Pickles, which could run code when loaded, are named as such."""
    if content.startswith(MAGIC):
        return
    if content.startswith(_PICKLED):
        raise Invalid(f"{name} is a pickle or an archive, which could run code when it is loaded", hint="Convert it to GGUF.")
    raise Invalid(f"{name} is not a GGUF file: it begins with {content[:4]!r}", hint="Convert it to GGUF.")


def _kept(digest: str, files: Files) -> tuple[str | None, list[Problem]]:
    if not is_digest(digest):
        hint = "Write sha256: and 64 hexadecimal digits, or the path of a .gguf file in the project."
        return None, [Problem(message=f"{digest[:80]!r} is not a digest", where="file", hint=hint)]
    if not files.has_blob(digest):
        hint = "Add it first: tidemill models add FILE.gguf"
        return None, [Problem(message=f"the file {digest} is not kept here", where="file", hint=hint)]
    return digest, []
