"""What a program says of its spans in Tidemill's words, beside whatever instrumentation wrote them."""

from __future__ import annotations

from typing import Final

from tidemill.telemetry import genai
from tidemill.telemetry.dialects.dialect import Dialect, at

DIALECT: Final = Dialect(
    name="marks",
    keys=(genai.RELEASE, genai.ENDPOINT, genai.STEP, genai.TAGS),
    rank=5,
    is_beside=True,
    fields={
        "release": at(genai.RELEASE),
        "endpoint": at(genai.ENDPOINT),
        "step": at(genai.STEP),
        "tags": at(genai.TAGS),
    },
)
