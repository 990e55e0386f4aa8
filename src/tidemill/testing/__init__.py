"""Public conformance kits: one for each Protocol of `core/extend.py`. Call them from your own tests.

Each takes an implementation, raises `AssertionError` naming the promise that was broken, and returns nothing.
"""

from tidemill.testing.data import check_chunker, check_document_parser
from tidemill.testing.dialects import check_dialect
from tidemill.testing.evaluation import check_scorer
from tidemill.testing.flows import check_check
from tidemill.testing.kinds import check_artifact_kind
from tidemill.testing.models import check_chat_provider, check_embed_provider
from tidemill.testing.policies import LetAll
from tidemill.testing.redactors import check_redactor
from tidemill.testing.replay import check_cuts, check_recording, replay_server
from tidemill.testing.store import check_store

__all__ = [
    "LetAll",
    "check_artifact_kind",
    "check_chat_provider",
    "check_check",
    "check_chunker",
    "check_cuts",
    "check_dialect",
    "check_document_parser",
    "check_embed_provider",
    "check_recording",
    "check_redactor",
    "check_scorer",
    "check_store",
    "replay_server",
]
