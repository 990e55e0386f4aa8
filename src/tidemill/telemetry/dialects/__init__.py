"""What the attributes of a span mean, for each instrumentation that writes its own: one file a dialect, one record for all.

To add a dialect: `NAME.py` here with `DIALECT = Dialect(name=..., keys=(beginnings of attribute names,), fields={...})` (see
`dialect.py` for the fields and the kinds of source, `values.py`, `messages.py` and `documents.py` for readers), a line under
`tidemill.dialects` in `pyproject.toml`, and `tidemill.testing.check_dialect` in a test: see `docs/recipes/add-a-dialect.md`.

How spans arrive is in `telemetry/otlp`; what is kept of them is for the rules of a project.
"""

from tidemill.telemetry.dialects.dialect import FIELDS, At, Dialect, Happened, Source, Under, Whole, at
from tidemill.telemetry.dialects.plan import dialects
from tidemill.telemetry.dialects.read import read_span

__all__ = ["FIELDS", "At", "Dialect", "Happened", "Source", "Under", "Whole", "at", "dialects", "read_span"]
