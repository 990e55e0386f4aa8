"""`tidemill models add`: take in a model of one's own, from a file or at an address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from tidemill.cli.model_card import tokens
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, paint, say, say_json
from tidemill.core.errors import Invalid

if TYPE_CHECKING:
    from tidemill.client import AsyncClient
    from tidemill.client.catalogue import Added


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Adding:
    """What is said of the model."""

    name: str
    """What to call it, as in model/NAME."""

    licence: str | None = None
    """Its SPDX identifier, as in Apache-2.0. A file that names a known one itself needs none."""

    sha256: str | None = None
    """The SHA-256 that the file must have."""

    tokenizer: Path | None = None
    """The tokenizer.json of an ONNX embedder. Default: the one beside it."""

    model: str | None = None
    """What the server calls the model. Default: the name."""

    embedder: bool = False
    """The server's model makes embeddings."""

    api_key: str | None = None
    """Where the server's key is: env:NAME or file:PATH."""

    allow_private: bool = False
    """Let calls go to a private network, as to this machine."""


async def add_model(what: str, /, *, said: Adding, options: Options = DEFAULTS) -> None:
    """Register a GGUF or ONNX file, or a model of an OpenAI-compatible server.

    A GGUF file becomes a model of the local engine, an ONNX file an embedder. Pickles (.bin, .pt, .pkl, .ckpt) are refused,
    whatever they are called: they can run code when they are loaded.

    :param what: A file's path; the address of a .gguf or .onnx file, with --sha256; or a server's base URL.
    """
    from tidemill.client.adding import is_url, names_a_file

    async with open_client(options) as client:
        if is_url(what) and not names_a_file(what) and said.sha256 is None:
            added = await _from_server(client, what, said)
        else:
            _only_for_servers(said)
            added = await (_from_url if is_url(what) else _from_path)(client, what, said)
    if options.json:
        say_json(added)
    else:
        print_added(added)


async def _from_path(client: AsyncClient, path: str, said: Adding) -> Added:
    return await client.add_model_file(
        Path(path), name=said.name, licence=said.licence, tokenizer=said.tokenizer, sha256=said.sha256
    )


async def _from_url(client: AsyncClient, url: str, said: Adding) -> Added:
    if said.sha256 is None:
        raise Invalid(
            "a file from an address needs its SHA-256", where="--sha256", hint="Take it from where the file is published."
        )
    return await client.add_model_url(url, name=said.name, licence=said.licence, sha256=said.sha256, tokenizer=said.tokenizer)


async def _from_server(client: AsyncClient, url: str, said: Adding) -> Added:
    if said.licence is None:
        raise Invalid("the licence is missing", where="--licence", hint="Name it, as in --licence Apache-2.0.")
    return await client.add_model_endpoint(
        url, name=said.name, licence=said.licence, model=said.model, embedder=said.embedder, api_key=said.api_key,
        allow_private=said.allow_private,
    )  # fmt: skip


def _only_for_servers(said: Adding) -> None:
    given = {
        "--model": said.model, "--api-key": said.api_key, "--embedder": said.embedder, "--allow-private": said.allow_private,
    }  # fmt: skip
    wrong = next((option for option, value in given.items() if value), None)
    if wrong is not None:
        raise Invalid(f"{wrong} goes with a server's address, not with a file", where=wrong, hint="Leave it out.")


def print_added(added: Added) -> None:
    """What was registered, and how to use it."""
    facts = added.get("facts") or {}
    said = [
        str(facts[each]) for each in ("format", "architecture", "quantisation") if facts.get(each)
    ]  # fmt: skip
    if isinstance(facts.get("parameters"), int):
        said.append(f"{tokens(facts['parameters'])} parameters")
    if facts.get("context"):
        said.append(f"{tokens(facts['context'])} tokens of context")
    ref = added.get("ref", "")
    say(paint(ref, "strong") + f"   {clean(', '.join(said))}".rstrip())
    if added.get("sha256"):
        say(f"{'SHA-256':<10}{added.get('sha256')}")
    say(f"{'Licence':<10}{added.get('licence')}")
    for each in added.get("notes", ()):
        note(f"note: {clean(each)}")
    bare = ref.partition("@")[0]
    use = f'tidemill run {bare} --input input="Hello"' if bare.startswith("model/") else f"embed: {bare} in an index"
    say(f"{'Use':<10}{use}")
