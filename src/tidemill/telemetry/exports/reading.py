"""Finding out what an export file is, and reading it whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry.exports import langfuse, langsmith, mlflow, phoenix, sdk
from tidemill.telemetry.exports.documents import Entry, items, read_entries
from tidemill.telemetry.exports.form import Export, Form
from tidemill.telemetry.exports.tables import rows

FORMATS: Final[Mapping[str, Form]] = {
    each.name: each for each in (langfuse.FORM, langsmith.FORM, mlflow.FORM, phoenix.FORM, sdk.FORM)
}
"""By name; the first that fits a file reads it."""

_WRAPPED: Final = ("data", "items", "runs", "traces", "spans", "observations")


def read(content: bytes, *, name: str, project: str, form: str = "") -> Export:
    """Read another platform's export; `name` is the file's, for messages, `form` one of `FORMATS` (else it is found).

    The same file gives the same ids every time. Raises `Invalid`, naming the place, when the file is not whole, is of no known
    format, or has a record that is no span; then nothing of it was given out.
    """
    entries, found = _recognised(read_entries(content, name=name), name, form)
    return Export(found.name, list(found.spans(entries, project)), list(found.scores(entries, project)))


def _recognised(entries: list[Entry], name: str, form: str) -> tuple[list[Entry], Form]:
    if form and form not in FORMATS:
        raise Invalid(f"the format {form!r} is not known", hint=did_you_mean(form, FORMATS) or f"Known: {', '.join(FORMATS)}.")
    if not entries:
        raise Invalid(f"{name} holds no traces", hint="Export the traces again.")
    for unfolded in (_framed(entries), entries, _unwrapped(entries)):
        if not unfolded:
            continue
        record = unfolded[0].record()
        fitting = next((each for each in FORMATS.values() if each.fits(record)), None)
        if form and (fitting is FORMATS[form] or FORMATS[form].fits(record)):
            return unfolded, FORMATS[form]
        if fitting is not None and not form:
            return unfolded, fitting
    if form:
        raise Invalid(f"{name} is not a file of {FORMATS[form].title}", hint="Leave out the format to have it found.")
    raise _unknown(entries[0], name)


def _framed(entries: list[Entry]) -> list[Entry]:
    """The rows of a data frame that is the whole file."""
    if len(entries) != 1:
        return []
    return [Entry(f"{entries[0].where}, row {number}", each) for number, each in enumerate(rows(entries[0].record()), 1)]


def _unwrapped(entries: list[Entry]) -> list[Entry]:
    """The records in an answer that wraps them."""
    if len(entries) != 1:
        return []
    record = entries[0].record()
    for key in _WRAPPED:
        listed = items(record.get(key))
        if listed and all(isinstance(each, Mapping) for each in listed):
            return entries[0].below(key, listed)
    return []


def _keys(record: JsonObject) -> str:
    return f"the keys {', '.join(sorted(record)[:6])}" if record else "no keys"


def _unknown(entry: Entry, name: str) -> Invalid:
    record = entry.record()
    if "resourceSpans" in record or "resource_spans" in record:
        return Invalid(f"{name} is OpenTelemetry's own form (OTLP)", hint="Import it as that: leave out the format.")
    if record and all("." in key or isinstance(value, str) for key, value in record.items()):
        what = "holds attributes without the ids and times of a span"
    else:
        what = f"is of no known format: its first record has {_keys(record)}"
    return Invalid(f"{name} {what}", hint=f"Known: {', '.join(each.title for each in FORMATS.values())}, and OTLP.")
