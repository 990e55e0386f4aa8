"""OpenLineage run events, written and read (https://openlineage.io/spec/2-0-2/OpenLineage.json). Pure."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast
from urllib.parse import quote

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.version import __version__

EventType: TypeAlias = Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]
TYPES: Final = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
PRODUCER: Final = f"urn:tidemill:{__version__}"
SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets"
_LARGEST: Final = 256 * 1024
_LONGEST: Final = 2000
_MOST: Final = 1000
_RUNS: Final = uuid.UUID("6f5f0f5e-3d5c-5d0b-9a51-7469646d6c6c")


def namespace_of(project: str) -> str:
    """The namespace of a project's jobs and datasets."""
    return f"tidemill://{project}"


def run_id(text: str) -> str:
    """A run's id as a UUID: its own when it is one, else one that the same text always gives."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(_RUNS, text))


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """A dataset of an event: a thing of ours by its reference without version, or one elsewhere by its `namespace`."""

    name: str
    version: str = ""
    digest: str = ""
    description: str = ""
    namespace: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """A change of one run: `job` is what ran (`evaluate/handbook`), of a `kind` (`EVALUATION`)."""

    type: EventType
    at_ns: int
    run: str
    job: str
    kind: str
    inputs: Sequence[Data] = ()
    outputs: Sequence[Data] = ()
    description: str = ""
    error: str = ""


def write_event(project: str, happened: Happened) -> JsonObject:
    """The event as the specification has it."""
    namespace = namespace_of(project)
    run: dict[str, Json] = {
        "processing_engine": _facet("1-1-1/ProcessingEngineRunFacet", version=__version__, name="tidemill"),
    }
    if happened.error:
        error = {"message": happened.error[:_LONGEST], "programmingLanguage": "PYTHON"}
        run["errorMessage"] = _facet("1-0-1/ErrorMessageRunFacet", **error)
    kind = {"processingType": "BATCH", "integration": "TIDEMILL", "jobType": happened.kind}
    job: dict[str, Json] = {"jobType": _facet("2-0-3/JobTypeJobFacet", **kind)}
    if happened.description:
        job["documentation"] = _facet("1-1-0/DocumentationJobFacet", description=happened.description)
    return {
        "eventType": happened.type,
        "eventTime": _time(happened.at_ns),
        "run": {"runId": run_id(happened.run), "facets": run},
        "job": {"namespace": namespace, "name": happened.job, "facets": job},
        "inputs": [_dataset(each, namespace) for each in happened.inputs],
        "outputs": [_dataset(each, namespace) for each in happened.outputs],
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def _dataset(data: Data, namespace: str) -> JsonObject:
    facets: dict[str, Json] = {}
    if data.version:
        facets["version"] = _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=data.version)
    if data.description:
        facets["documentation"] = _facet("1-1-0/DocumentationDatasetFacet", description=data.description)
    if data.digest:
        facets["tidemill_digest"] = {"_producer": PRODUCER, "_schemaURL": "urn:tidemill:facet:digest:1", "digest": data.digest}
    return {"namespace": data.namespace or namespace, "name": data.name, "facets": facets}


def _facet(schema: str, **values: str) -> JsonObject:
    name = schema.rpartition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{schema}.json#/$defs/{name}", **values}


def _time(ns: int) -> str:
    time = dt.datetime.fromtimestamp(ns // 10**9, dt.UTC) + dt.timedelta(microseconds=ns % 10**9 // 1000)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A job or dataset elsewhere. `version` is what its version facet says, `same` other names of it (namespace, name)."""

    namespace: str
    name: str
    version: str = ""
    same: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Its key in the lineage graph."""
        return f"{quote(self.namespace, safe='/:@.-_~+')}#{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A run event that was read."""

    type: str
    at: str
    at_ns: int
    run: str
    job: Place
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    body: JsonObject


def read_event(value: Json) -> Event:
    """Read one event. Raises `Invalid` that says what is wrong with it."""
    if not isinstance(value, Mapping):
        raise Invalid("an event is an object")
    if len(dump_json(value)) > _LARGEST:
        raise Invalid(f"the event is larger than {_LARGEST // 1024} KiB")
    if "run" not in value or "job" not in value:
        raise Invalid("only run events are taken: run and job are missing" if "run" not in value else "job is missing")
    kind = value.get("eventType", "OTHER")
    if kind not in TYPES:
        raise Invalid(f"eventType {str(kind)[:40]!r} is none of {', '.join(TYPES)}")
    for name in ("producer", "schemaURL"):
        _text(value, name)
    at, at_ns = _read_time(_text(value, "eventTime"))
    return Event(
        type=str(kind),
        at=at,
        at_ns=at_ns,
        run=_read_run(_object(value, "run")),
        job=_place(_object(value, "job"), "job"),
        inputs=_places(value, "inputs"),
        outputs=_places(value, "outputs"),
        body=value,
    )


def _read_run(run: JsonObject) -> str:
    text = _text(run, "runId")
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise Invalid(f"runId {text[:60]!r} is not a UUID") from error


def _read_time(text: str) -> tuple[str, int]:
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"eventTime {text[:60]!r} is not a date and time") from error
    if time.tzinfo is None:
        raise Invalid(f"eventTime {text[:60]!r} has no time zone")
    since = time.astimezone(dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    at_ns = max(0, since // dt.timedelta(microseconds=1) * 1000)
    return _time(at_ns), at_ns


def _places(value: JsonObject, name: str) -> tuple[Place, ...]:
    found = value.get(name)
    if found is None:
        return ()
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) > _MOST:
        raise Invalid(f"{name} is a list of at most {_MOST} datasets")
    places: list[Place] = []
    for number, each in enumerate(found):
        if not isinstance(each, Mapping):
            raise Invalid(f"{name}.{number} is an object with namespace and name")
        places.append(_place(each, f"{name}.{number}"))
    return tuple(places)


def _place(value: JsonObject, where: str) -> Place:
    facets = value.get("facets")
    known: JsonObject = facets if isinstance(facets, Mapping) else {}
    version, links = known.get("version"), known.get("symlinks")
    identifiers = links.get("identifiers") if isinstance(links, Mapping) else None
    listed = cast("Sequence[Json]", identifiers) if isinstance(identifiers, list | tuple) else ()
    same = [(_text(each, "namespace", where), _text(each, "name", where)) for each in listed if isinstance(each, Mapping)]
    said = version.get("datasetVersion") if isinstance(version, Mapping) else None
    return Place(
        namespace=_text(value, "namespace", where),
        name=_text(value, "name", where),
        version=said[:_LONGEST] if isinstance(said, str) else "",
        same=tuple(same[:_MOST]),
    )


def _object(value: JsonObject, name: str) -> JsonObject:
    found = value.get(name)
    if not isinstance(found, Mapping):
        raise Invalid(f"{name} is an object")
    return found


def _text(value: JsonObject, name: str, where: str = "") -> str:
    found = value.get(name)
    place = f"{where}.{name}" if where else name
    if not isinstance(found, str) or not found.strip():
        raise Invalid(f"{place} is missing" if found is None else f"{place} is a text that is not empty")
    if len(found) > _LONGEST:
        raise Invalid(f"{place} is longer than {_LONGEST} characters")
    if "\x00" in found:
        raise Invalid(f"{place} holds a character that no name can have")
    return found
