# Made by scripts/sync_client.py from src/tidemill/client/environments.py; change that file and run the script.
"""Calls about environments, and promoting between them."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.environments import EnvironmentJson, PromotedJson, PromotionJson
from tidemill.client.sync.waiting import Waiting


class EnvironmentCalls(Waiting):
    """Environments and promotions."""

    def environments(self) -> Sequence[EnvironmentJson]:
        """Every environment: its rules, its connections, and what is promoted there."""
        return self._wait(self._client.environments)

    def environment(self, name: str) -> EnvironmentJson:
        """One environment."""
        return self._wait(lambda: self._client.environment(name))

    def promote(
        self,
        app: str,
        *,
        to: str,
        origin: str | None = None,
        why: str = "",
        dry_run: bool = False,
        elsewhere: bool = False,
    ) -> PromotedJson:
        """Let an application be this release (a digest or a reference) in the environment `to`; nothing is built.

        `origin` is the environment that it comes from. With `dry_run` nothing is changed. `elsewhere` says that the target's
        secrets are on another machine. Raises `Denied` with what is missing and what to type.
        """
        return self._wait(
            lambda: self._client.promote(app, to=to, origin=origin, why=why, dry_run=dry_run, elsewhere=elsewhere)
        )

    def promotions(
        self, *, environment: str | None = None, release: str | None = None, limit: int | None = None
    ) -> Sequence[PromotionJson]:
        """Promotions, newest first; into one environment, or of one release (its digest)."""
        return self._wait(lambda: self._client.promotions(environment=environment, release=release, limit=limit))

    def promotion(self, promotion: str) -> PromotionJson:
        """One promotion, with the evidence that it rested on."""
        return self._wait(lambda: self._client.promotion(promotion))
