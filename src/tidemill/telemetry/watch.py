"""The platform's own figures: what each is called, how it is counted, and how a Prometheus reads it.

The exposition formats: https://prometheus.io/docs/specs/om/open_metrics_spec/ and
https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tidemill.core.json import JsonObject

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = tuple[str, ...]
Series: TypeAlias = Sequence[tuple[Labels, float]]
Histograms: TypeAlias = Sequence[tuple[Labels, Sequence[float]]]
MOST_SERIES: Final = 500
"""Of one metric; what comes after is counted under the label values `other`."""
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name without the ending `_total` that counters get, what it says, and the names of its labels."""

    name: str
    kind: Kind
    help: str
    labels: Labels = ()

    @property
    def full_name(self) -> str:
        """As it is queried."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


def _of_requests() -> Iterator[Metric]:
    yield Metric("tidemill_build_info", "gauge", "Always 1; the version that runs.", ("version",))
    yield Metric("tidemill_start_time_seconds", "gauge", "When the server started, in seconds since the epoch.")
    yield Metric("tidemill_http_requests", "counter", "Requests that were answered.", ("method", "route", "status"))
    yield Metric(
        "tidemill_http_request_duration_seconds",
        "histogram",
        "From a request's first line to its answer's last byte.",
        ("route",),
    )
    yield Metric("tidemill_http_requests_in_flight", "gauge", "Requests that are being answered.")
    yield Metric("tidemill_provider_calls", "counter", "Calls of models and embedders.", ("provider", "status"))
    yield Metric("tidemill_provider_call_duration_seconds", "histogram", "How long they took.", ("provider",))
    yield Metric(
        "tidemill_tokens", "counter", "Tokens of these calls; cached ones are part of input, reasoning ones of output.",
        ("provider", "model", "class"),
    )  # fmt: skip
    yield Metric(
        "tidemill_guardrails", "counter", "What guardrails read, and what they did: `allow`, `escalate`, `redact`, `block`, or "
        "`failed` where they could not look.", ("guardrail", "action"),
    )  # fmt: skip
    yield Metric("tidemill_cost_dollars", "counter", "What these calls cost, where a price is known.", ("provider", "model"))


def _of_spans() -> Iterator[Metric]:
    yield Metric(
        "tidemill_spans", "counter", "Spans that came, by where from (`recorder`, `otlp`) and what became of them (`accepted`, "
        "`rejected`).", ("source", "result"),
    )  # fmt: skip
    yield Metric("tidemill_spans_sampled_out", "counter", "Spans that the rules of their project left out.")
    yield Metric("tidemill_spans_dropped", "counter", "Spans that were lost because the disk refused them for too long.")
    yield Metric("tidemill_spool_bytes", "gauge", "Bytes of spans that are safe on disk and not in the span store yet.")
    yield Metric("tidemill_projection_lag_seconds", "gauge", "For how long the oldest of them has waited.")
    yield Metric("tidemill_spool_damaged_bytes", "gauge", "Bytes of the spool that could not be read.")
    yield Metric("tidemill_store_running", "gauge", "1 while the process of the embedded span store runs, 0 while it rests.")
    yield Metric("tidemill_store_starts", "counter", "How often that process was started.")
    yield Metric("tidemill_store_spans", "gauge", "Rows in the table of spans; absent while the store rests.")
    yield Metric(
        "tidemill_store_bytes", "gauge", "Bytes of the span store's tables on disk; absent while it rests.", ("table",)
    )
    yield Metric("tidemill_store_rejected_rows", "counter", "Rows that the span store could not read.")
    yield Metric("tidemill_ingest_bytes", "gauge", "Bytes of OTLP requests that are in memory.")


def _of_machine() -> Iterator[Metric]:
    yield Metric("tidemill_jobs", "gauge", "Jobs that are queued or running.", ("kind", "status"))
    yield Metric("tidemill_jobs_finished", "counter", "Jobs in the database that ended.", ("kind", "status"))
    yield Metric("tidemill_log_lines", "counter", "Lines that were logged, by level.", ("level",))
    yield Metric("tidemill_process_cpu_seconds", "counter", "CPU time of a process of the platform.", ("process", "pid"))
    yield Metric("tidemill_process_resident_bytes", "gauge", "Its memory, shared pages included.", ("process", "pid"))
    yield Metric("tidemill_process_open_files", "gauge", "Its open files and sockets.", ("process", "pid"))
    yield Metric("tidemill_process_threads", "gauge", "Its threads.", ("process", "pid"))
    yield Metric("tidemill_disk_free_bytes", "gauge", "Free bytes where the data folder is.")
    yield Metric("tidemill_disk_size_bytes", "gauge", "Size of that file system.")
    yield Metric("tidemill_gpus", "gauge", "GPUs that NVML shows; 0 where it is not installed or has none.")
    yield Metric("tidemill_gpu_utilization_ratio", "gauge", "Share of the last moments in which a GPU worked.", ("gpu", "name"))
    yield Metric("tidemill_gpu_memory_used_bytes", "gauge", "Memory of a GPU that is in use.", ("gpu", "name"))
    yield Metric("tidemill_gpu_memory_size_bytes", "gauge", "Memory of a GPU.", ("gpu", "name"))


METRICS: Final[Mapping[str, Metric]] = {each.name: each for each in (*_of_requests(), *_of_spans(), *_of_machine())}
"""Every metric there is, in the order in which they are shown."""


class Measures:
    """Counts, from any thread. What happens while the server runs is kept here; the rest is looked at when it is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = {}

    def count(self, name: str, labels: Labels = (), amount: float = 1.0) -> None:
        """Add to a counter, or to a gauge that goes up and down."""
        with self._lock:
            series = self._values.get(name)
            if series is not None and labels in series:
                series[labels] += amount
                return
            series = self._values.setdefault(name, {})
            key = self._key(series, labels)
            series[key] = series.get(key, 0.0) + amount

    def observe(self, name: str, labels: Labels, seconds: float) -> None:
        """Note one length of time in a histogram."""
        with self._lock:
            series = self._histograms.setdefault(name, {})
            key = self._key(series, labels)
            counts = series.get(key)
            if counts is None:
                counts = series[key] = [0.0] * (len(_SECONDS) + 2)
            counts[bisect_left(_SECONDS, seconds)] += 1
            counts[-1] += seconds

    def read(self) -> Mapping[str, Mapping[Labels, float]]:
        """The counters and gauges as they are now."""
        with self._lock:
            return {name: dict(series) for name, series in self._values.items()}

    def pairs(self) -> tuple[dict[str, Series], dict[str, Histograms]]:
        """All of it in a form that can be sent: the counters and gauges, and the histograms."""
        with self._lock:
            values: dict[str, Series] = {name: [*series.items()] for name, series in self._values.items()}
            return values, {name: [(key, [*each]) for key, each in series.items()] for name, series in self._histograms.items()}

    def add(self, values: Mapping[str, Series], histograms: Mapping[str, Histograms]) -> None:
        """Add up what another process counted."""
        for name, series in values.items():
            for labels, value in series:
                self.count(name, labels, value)
        with self._lock:
            for name, those in histograms.items():
                mine = self._histograms.setdefault(name, {})
                for labels, counts in those:
                    key = self._key(mine, labels)
                    mine[key] = [a + b for a, b in zip(mine.get(key) or [0.0] * len(counts), counts, strict=True)]

    def text(self, looked_at: Mapping[str, Mapping[Labels, float]], *, is_open: bool) -> str:
        """All figures, with those that were looked at just now; as OpenMetrics, or in Prometheus' older form."""
        with self._lock:
            histograms = {name: {key: [*counts] for key, counts in series.items()} for name, series in self._histograms.items()}
        values = {**self.read(), **looked_at}
        lines: list[str] = []
        for metric in METRICS.values():
            shown = metric.name if is_open else metric.full_name
            lines += (f"# TYPE {shown} {metric.kind}", f"# HELP {shown} {_escaped(metric.help)}")
            for labels, counts in sorted(histograms.get(metric.name, {}).items()):
                lines += _histogram(metric, labels, counts)
            for labels, value in sorted(values.get(metric.name, {}).items()):
                lines.append(f"{metric.full_name}{_labels(metric.labels, labels)} {_number(value)}")
        return "\n".join([*lines, "# EOF", ""] if is_open else [*lines, ""])

    def items(self, looked_at: Mapping[str, Mapping[Labels, float]]) -> Sequence[JsonObject]:
        """All figures as JSON: `name`, `labels`, `value`; of a histogram its count and its sum."""
        values = {**self.read(), **looked_at}
        with self._lock:
            for name, series in self._histograms.items():
                values[f"{name}_count"] = {key: sum(counts[:-1]) for key, counts in series.items()}
                values[f"{name}_sum"] = {key: counts[-1] for key, counts in series.items()}
        found: list[JsonObject] = []
        for name, series in values.items():
            metric = METRICS.get(name) or METRICS[name.rpartition("_")[0]]
            shown = metric.full_name if name == metric.name else name
            for labels, value in series.items():
                found.append({"name": shown, "labels": dict(zip(metric.labels, labels, strict=True)), "value": value})
        return found

    def _key(self, series: Mapping[Labels, object], labels: Labels) -> Labels:
        return labels if labels in series or len(series) < MOST_SERIES else tuple([_OTHER] * len(labels))


def _histogram(metric: Metric, labels: Labels, counts: Sequence[float]) -> Iterable[str]:
    total = 0.0
    for bound, count in zip([*map(_number, _SECONDS), "+Inf"], counts, strict=False):
        total += count
        yield f"{metric.name}_bucket{_labels((*metric.labels, 'le'), (*labels, bound))} {_number(total)}"
    yield f"{metric.name}_count{_labels(metric.labels, labels)} {_number(total)}"
    yield f"{metric.name}_sum{_labels(metric.labels, labels)} {_number(counts[-1])}"


def _labels(names: Labels, values: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value, quoted=True)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str, *, quoted: bool = False) -> str:
    found = text.replace("\\", "\\\\").replace("\n", "\\n")
    return found.replace('"', '\\"') if quoted else found


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
