"""What a project keeps of its spans, and in which form: redaction, capture, and the document that says so.

Everything here happens before anything is stored. How long spans are kept is `telemetry/privacy/retention.py`, which of them
are kept at all `telemetry/sampling.py`.
"""

from tidemill.telemetry.rules.apply import EMPTY, Rules
from tidemill.telemetry.rules.compiling import compile_rules

__all__ = ["EMPTY", "Rules", "compile_rules"]
