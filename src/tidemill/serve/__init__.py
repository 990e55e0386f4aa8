"""The data plane: applications behind the chat-completions wire format, and which release answers at which endpoint.

Routes of the control plane are in `api/`; what an application does is in `flows/` and `models/`.
"""

from tidemill.serve.endpoints import LiveEndpoints
from tidemill.serve.kinds import EndpointKind
from tidemill.serve.wire import DataPlane

__all__ = ["DataPlane", "EndpointKind", "LiveEndpoints"]
