"""`kind: adapter`: LoRA weights, with the base that they were made for."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import BaseModel, ConfigDict, JsonValue

from tidemill.core.bodies import parse_body
from tidemill.core.difference import spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files, Surroundings
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.records import Material, Parsed, Version
from tidemill.core.refs import parse_ref

_WEIGHTS, _CONFIG, _LOG = "adapter_model.safetensors", "adapter_config.json", "log.json"
_LARGEST_HEADER = 64 * 1024 * 1024


class _AdapterBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    base: str
    path: str
    trained: dict[str, JsonValue] | None = None
    """What one that was trained here says of its making, as `tidemill pull` and `export` write it."""


class AdapterKind:
    """`kind: adapter`. Spec: `base`, `rank`, `alpha`, `targets`; blobs `weights` (safetensors) and `config` (peft's JSON).

    One that was trained here says more: the tune, its data, the code, the seed and the environment.
    """

    name = "adapter"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Read the two files of the folder `path`. Only safetensors are read, never a pickle."""
        given = parse_body(_AdapterBody, body, what="the adapter is not valid")
        try:
            base = str(parse_ref(given.base, kind="model"))
        except Invalid as error:
            raise Invalid(error.message, where="base", hint=error.hint) from error
        folder = given.path.rstrip("/")
        try:
            weights, config = files.read(f"{folder}/{_WEIGHTS}"), files.read(f"{folder}/{_CONFIG}")
        except Invalid as error:
            hint = f"An adapter is a folder with {_WEIGHTS} and {_CONFIG}, as peft writes it."
            raise Invalid(error.message, where="path", hint=hint) from error
        check_safetensors(weights, name=_WEIGHTS)
        blobs = {"weights": files.put_blob(weights), "config": files.put_blob(config)}
        if given.trained is None:
            return Parsed(spec={"base": base, **adapter_shape(config)}, references={"base": base}, blobs=blobs)
        log = files.read(f"{folder}/{_LOG}")
        spec: dict[str, Json] = {**adapter_shape(config), **given.trained, "base": base}
        return Parsed(
            spec=spec,
            references={"base": base, **_made_of(given.trained)},
            blobs={**blobs, "log": files.put_blob(log)},
        )

    def materialise(self, version: Version, *, around: Surroundings) -> Material:
        """The folder of weights that peft reads, and what a run here noted of its making."""
        folder = str((around.body or {}).get("path") or version.name).rstrip("/")
        names = {"weights": _WEIGHTS, "config": _CONFIG, "log": _LOG}
        kept = {f"{folder}/{names[role]}": around.blobs.get(digest) for role, digest in version.blobs.items()}
        body: dict[str, Json] = {"base": version.spec["base"], "path": folder}
        if "log" in version.blobs:
            body["trained"] = {key: value for key, value in version.spec.items() if key != "base"}
        return Material(body=body, files=kept)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """The base must be a model that runs here."""
        base = resolved.get(str(spec["base"]))
        if base is None or base.spec.get("provider") == "local":
            return ()
        message = f"{base.bare} is served by {base.spec.get('provider')}, which takes no adapter from here"
        return [Problem(message=message, where="base", hint="Name a model of provider: local.")]

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """One line a changed value."""
        return spec_difference(old, new).lines


def _made_of(trained: JsonObject) -> dict[str, str]:
    """The tune, the data and the prompt of a run, as references."""
    found: dict[str, str] = {}
    for key in ("tune", "data", "prompt"):
        if trained.get(key) is not None:
            try:
                found[f"trained.{key}"] = str(parse_ref(str(trained[key]), kind="dataset" if key == "data" else key))
            except Invalid as error:
                raise Invalid(error.message, where=f"trained.{key}", hint=error.hint) from error
    return found


def adapter_shape(config: bytes) -> dict[str, Json]:
    """Rank, scale and layers out of peft's configuration. Raises `Invalid` for what is not one of LoRA."""
    content = parse_json(config, what=_CONFIG)
    if not isinstance(content, Mapping) or content.get("peft_type") != "LORA":
        raise Invalid(f"{_CONFIG} does not describe a LoRA adapter", where="path")
    targets = content.get("target_modules")
    listed = sorted(map(str, targets)) if isinstance(targets, Sequence) and not isinstance(targets, str) else []
    return {"rank": content.get("r"), "alpha": content.get("lora_alpha"), "targets": cast("list[Json]", listed)}


def check_safetensors(content: bytes, *, name: str) -> None:
    """Raise `Invalid` for what is not a safetensors file: eight bytes of length, and a JSON object of that length."""
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else _LARGEST_HEADER + 1
    if length > min(_LARGEST_HEADER, len(content) - 8) or content[8:9] != b"{":
        raise Invalid(f"{name} is not a safetensors file", where="path", hint="Save it with safe_serialization=True.")
