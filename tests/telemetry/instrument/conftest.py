from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from telemetry.instrument.receiver import receiving, records_of_sdk


class Kept(SpanProcessor):
    """Keeps the spans that ended."""

    def __init__(self):
        self.ended = []

    def on_end(self, span):
        self.ended.append(span)

    @property
    def records(self):
        """As the platform reads them, by name."""
        return {each.name: each for each in records_of_sdk(self.ended)}


@pytest.fixture(scope="session")
def _kept():
    kept = Kept()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(kept)
    return kept


@pytest.fixture
def kept(_kept):
    _kept.ended.clear()
    return _kept


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found
