"""`tidemill evidence`: what can be shown of a release."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, paint, say, say_json
from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject


async def evidence(
    release: str, /, *, out: Path = Path("evidence.zip"), key: Path | None = None, options: Options = DEFAULTS
) -> None:
    """Write a signed pack of everything that is known of a release.

    :param release: The release's digest, or an app or endpoint, as in chain/handbook.
    :param out: The zip file to write.
    :param key: A PEM file with another Ed25519 key to sign with; the platform's is made at first use.
    """
    import anyio

    from tidemill.client.evidence import verify_pack

    async with open_client(options) as client:
        pack = await client.evidence(release, key=key)
    await anyio.Path(out).write_bytes(pack)
    report = verify_pack(out)
    if options.json:
        say_json({"file": str(out), "bytes": len(pack), **report})
        return
    say(f"wrote        {out}, {len(pack):,} bytes")
    _print_report(report)
    say(f"Verify       python verify_evidence.py {out} --key {report['fingerprint']}")


async def card(release: str, /, *, model: str | None = None, out: Path | None = None, options: Options = DEFAULTS) -> None:
    """Print the system card of a release, or the card of one of its models.

    :param release: The release's digest, or an app or endpoint.
    :param model: The card of this model, embedder or adapter, as in model/local.
    :param out: A folder to write every card to, as Markdown and JSON.
    """
    from tidemill.cli.card import choose, write_cards

    async with open_client(options) as client:
        cards = await client.cards(release)
    if out is not None:
        for path in await write_cards(cards, out):
            say(f"wrote        {path}")
        return
    chosen = choose(cards, model)
    if options.json:
        say_json({name: each for name, each in chosen.items() if name != "markdown"})
    else:
        say(clean(str(chosen["markdown"])).rstrip())


async def bom(release: str, /, *, out: Path | None = None, options: Options = DEFAULTS) -> None:
    """Print a release's bill of materials, CycloneDX 1.6 in JSON.

    :param release: The release's digest, or an app or endpoint.
    :param out: The file to write, in place of printing it.
    """
    import anyio
    import orjson

    async with open_client(options) as client:
        document = await client.bill_of_materials(release)
    if out is None:
        say_json(document)
        return
    await anyio.Path(out).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    if options.json:
        say_json({"file": str(out)})
    else:
        say(f"wrote        {out}")


def verify(pack: Path, /, *, key: str = "", options: Options = DEFAULTS) -> int:
    """Verify a pack, offline; one that does not hold exits 1.

    It checks the signature, every file, the digests of the release and of all it locks, and the audit chain.

    :param pack: The zip file.
    :param key: The fingerprint that must have signed it.
    """
    from tidemill.client.evidence import verify_pack

    try:
        report = verify_pack(pack, key=key)
    except Invalid as refused:
        if options.json:
            say_json({"verified": False, "reason": refused.message})
        else:
            note(f"{paint('refused', 'bad', stream=sys.stderr)}      {clean(refused.message)}")
        return 1
    if options.json:
        say_json({"verified": True, **report})
    else:
        _print_report(report)
    return 0


async def watermark(
    action: Literal["detect"] = "detect",
    /,
    *,
    model: str,
    text: str | None = None,
    file: Path | None = None,
    options: Options = DEFAULTS,
) -> int:
    """Test a text for the watermark of a model; exits 1 when it is not shown.

    :param action: What to do: detect.
    :param model: The model, as in model/local.
    :param text: The text.
    :param file: A file with the text, in place of --text.
    """
    import anyio

    if (text is None) == (file is None):
        raise Invalid("give the text, or a file with it", hint=f"tidemill evidence watermark {action} --model model/x --text …")
    content = await anyio.Path(file).read_text("utf-8", "replace") if file is not None else text or ""
    async with open_client(options) as client:
        found = await client.detect_watermark(content, model=model)
    if options.json:
        say_json(found)
    else:
        say(f"{paint(str(found['verdict']), 'good' if found['verdict'] == 'watermarked' else 'quiet')}")
        pairs = f"{found['green']} of {found['pairs']} token pairs green, {found['gamma']:.0%} by chance"
        say(f"  z        {found['z']:.2f}   {pairs}")
        say(f"  p        {found['p_value']:.2g}   shown at {found['shown_at']:g} and below")
        say(f"  model    {found['model']}, key {found['key']}")
    return 0 if found["verdict"] == "watermarked" else 1


def _print_report(report: JsonObject) -> None:
    say(f"verified     {clean(str(report['application']))} in project {clean(str(report['project']))}, {report['created']}")
    checks = report["checks"]
    assert isinstance(checks, list)
    for line in checks:
        say(clean(str(line)))


COMMAND = evidence
COMMANDS = {"card": card, "bom": bom, "verify": verify, "watermark": watermark}
