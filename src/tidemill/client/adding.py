"""Taking in a model: look into its file, send it by digest, and apply the document that names it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx

from tidemill.core.digests import digest_file
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.refs import is_digest
from tidemill.models.licences import judge, parse_licence, read_licence
from tidemill.models.model_files import FileFacts, inspect_file

_FILE_ENDINGS = (".gguf", ".onnx")
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


def is_url(text: str) -> bool:
    """Whether it is an address and no path."""
    return text.startswith(("http://", "https://"))


def names_a_file(url: str) -> bool:
    """Whether an address leads to a file of weights, and not to a server."""
    return urlsplit(url).path.lower().endswith(_FILE_ENDINGS)


def parse_sha256(text: str) -> str:
    """`sha256:…` of the 64 digits, with or without that beginning. Raises `Invalid`."""
    digest = text.lower() if text.lower().startswith("sha256:") else f"sha256:{text.lower()}"
    if not is_digest(digest):
        raise Invalid(f"{text[:80]!r} is not a SHA-256", where="--sha256", hint="Write its 64 hexadecimal digits.")
    return digest


@asynccontextmanager
async def fetched(url: str, *, digest: str) -> AsyncGenerator[Path]:
    """A file from an address, kept while the block lasts. Raises `Invalid` when it has another digest."""
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        path = Path(folder) / (Path(urlsplit(url).path).name or "model")
        try:
            async with (
                httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=True) as http,
                http.stream("GET", url) as answer,
                await anyio.open_file(path, "wb") as file,
            ):
                if not answer.is_success:
                    raise Unavailable(f"{url} answers {answer.status_code}", hint="Check the address.")
                async for piece in answer.aiter_bytes():
                    await file.write(piece)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{url} cannot be fetched: {error or type(error).__name__}", hint="Check the address.") from error
        await check_digest(path, digest=digest, shown=url)
        yield path


async def check_digest(path: Path, *, digest: str, shown: str) -> None:
    """Raise `Invalid` when a file has another digest than was said."""
    found = await anyio.to_thread.run_sync(digest_file, path)
    if found != digest:
        raise Invalid(
            f"{shown} has the SHA-256 {found.removeprefix('sha256:')}, not {digest.removeprefix('sha256:')}",
            hint="It is another file, or it was changed; nothing was kept.",
        )


async def look_into(path: Path) -> FileFacts:
    """What a file of weights says of itself. Raises `Invalid` for a pickle, or what is not whole."""
    if not await anyio.Path(path).is_file():
        raise Invalid(f"there is no file {str(path)!r}", where="PATH")
    return await anyio.to_thread.run_sync(inspect_file, path)


def licence_for(given: str | None, facts: FileFacts | None) -> str:
    """The licence to register: the one given, else what the file says. Raises `Invalid` when neither says a known one."""
    if given is not None:
        return parse_licence(given)
    stated = read_licence(facts.licence) if facts is not None else ""
    if not stated:
        said = f"; the file says {facts.licence[:60]!r}" if facts is not None and facts.licence else ""
        raise Invalid(f"the licence is missing{said}", where="--licence", hint="Name it, as in --licence Apache-2.0.")
    return stated


def tags_of(facts: FileFacts, *, licence: str, source: str) -> dict[str, str]:
    """What stands beside the version: licence, and what the file says of itself."""
    said = {
        "licence": licence, "format": facts.format, "architecture": facts.architecture, "quantisation": facts.quantisation,
        "context": str(facts.context or ""), "parameters": str(facts.parameters or ""), "bytes": str(facts.bytes),
        "source": source,
    }  # fmt: skip
    return {name: value[:200] for name, value in said.items() if value}


def notes_on(facts: FileFacts, licence: str) -> list[str]:
    """What the one who adds it should know."""
    notes: list[str] = []
    stated = read_licence(facts.licence)
    if facts.licence and stated != licence:
        notes.append(f"the file says that its licence is {facts.licence!r}; registered as {licence}")
    verdict = judge(licence)
    if verdict.word != "permissive":
        notes.append(f"{licence}: {verdict.reason}")
    return notes


def document(kind: str, name: str, body: Mapping[str, str], *, tags: Mapping[str, str]) -> str:
    """A document as YAML. Every value is quoted, so that it is read as what it is."""
    lines = [f"kind: {kind}", f"name: {name}", *(f"{key}: {_quoted(value)}" for key, value in body.items())]
    if tags:
        lines += ["tags:", *(f"  {key}: {_quoted(value)}" for key, value in tags.items())]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    kept = "".join(char if char.isprintable() else " " for char in value)
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'
