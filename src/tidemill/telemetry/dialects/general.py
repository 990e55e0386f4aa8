"""What any span may say of who asked, whatever wrote it: OpenTelemetry's general conventions."""

from __future__ import annotations

from typing import Final

from tidemill.telemetry.dialects.dialect import Dialect

DIALECT: Final = Dialect(
    name="otel",
    keys=("session.id", "user.id", "enduser.id"),
    rank=99,
    is_beside=True,
    fields={"session": ("session.id",), "user": ("user.id", "enduser.id")},
)
