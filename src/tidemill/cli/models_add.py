"""`tidemill models add`: take in a model of one's own, from a file or at an address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.cli.model_card import tokens
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, paint, say, say_json
from tidemill.core.errors import Invalid

if TYPE_CHECKING:
    from tidemill.client import AsyncClient
    from tidemill.client.catalogue import Added


async def add_model(  # noqa: PLR0913  (what a model may need)
    what: str,
    /,
    *,
    name: str,
    licence: str | None = None,
    sha256: str | None = None,
    tokenizer: Path | None = None,
    model: str | None = None,
    embedder: bool = False,
    api_key: str | None = None,
    allow_private: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """Register a GGUF or ONNX file, or what an OpenAI-compatible server serves, with its hash and licence.

    A GGUF file becomes a model of the local engine, an ONNX file an embedder. Pickles (.bin, .pt, .pkl, .ckpt) are refused,
    whatever they are called: they can run code when they are loaded.

    :param what: A file's path; the address of a .gguf or .onnx file, with --sha256; or a server's base URL.
    :param name: What to call it, as in model/NAME.
    :param licence: Its SPDX identifier, as in Apache-2.0. A file that names a known one itself needs none.
    :param sha256: The SHA-256 that the file must have.
    :param tokenizer: The tokenizer.json of an ONNX embedder. Default: the one beside it.
    :param model: What the server calls the model. Default: the name.
    :param embedder: The server's model makes embeddings.
    :param api_key: Where the server's key is: env:NAME or file:PATH.
    :param allow_private: Let calls go to a private network, as to this machine.
    """
    from tidemill.client.adding import is_url, names_a_file

    async with open_client(options) as client:
        if not is_url(what):
            _only_for_servers(model=model, api_key=api_key, embedder=embedder, allow_private=allow_private)
            added = await client.add_model_file(Path(what), name=name, licence=licence, tokenizer=tokenizer, sha256=sha256)
        elif names_a_file(what) or sha256 is not None:
            _only_for_servers(model=model, api_key=api_key, embedder=embedder, allow_private=allow_private)
            added = await _from_url(client, what, name=name, licence=licence, sha256=sha256, tokenizer=tokenizer)
        else:
            if licence is None:
                raise Invalid("the licence is missing", where="--licence", hint="Name it, as in --licence Apache-2.0.")
            added = await client.add_model_endpoint(
                what, name=name, licence=licence, model=model, embedder=embedder, api_key=api_key, allow_private=allow_private
            )
    if options.json:
        say_json(added)
    else:
        print_added(added)


async def _from_url(
    client: AsyncClient, url: str, *, name: str, licence: str | None, sha256: str | None, tokenizer: Path | None
) -> Added:
    if sha256 is None:
        raise Invalid(
            "a file from an address needs its SHA-256", where="--sha256", hint="Take it from where the file is published."
        )
    return await client.add_model_url(url, name=name, licence=licence, sha256=sha256, tokenizer=tokenizer)


def _only_for_servers(*, model: str | None, api_key: str | None, embedder: bool, allow_private: bool) -> None:
    given = {"--model": model, "--api-key": api_key, "--embedder": embedder, "--allow-private": allow_private}
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
