"""Chat models and embedders: one way to call them all, with connections, retries and the spans they leave.

Prompts are made in `prompts/`; what a call costs is in `pricing/`; vendors' dialects are in `providers/`.
"""

from tidemill.models.service import Models
from tidemill.models.stream import ChatResult, ChatStream

__all__ = ["ChatResult", "ChatStream", "Models"]
