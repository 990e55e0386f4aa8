"""Who asks: the key of a connection, or that of the vendor's own environment variable where the connection names none."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.core.chat import Connection, Secret
from tidemill.models.connections import read_headers, read_secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """How a vendor wants its key: in which header, after which word, and from which variable when nothing else is said.

    The variable is read only where the connection has no `base_url` of its own, so that a key never goes to another host.
    """

    variable: str = ""
    header: str = "authorization"
    word: str = "Bearer "

    def read(self, connection: Connection) -> tuple[dict[str, str], str | None]:
        """The headers of a request, the connection's own among them and above, and the secret in them."""
        own = read_headers(connection)
        reference = connection.api_key
        if reference is None and self.variable and connection.base_url is None:
            reference = Secret(reference=f"env:{self.variable}")
        if reference is None:
            return own, None
        secret = read_secret(reference, connection)
        return {self.header: f"{self.word}{secret}", **{name.lower(): value for name, value in own.items()}}, secret
