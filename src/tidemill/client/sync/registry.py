# Made by scripts/sync_client.py from src/tidemill/client/registry.py; change that file and run the script.
"""Artifacts, versions, aliases and releases, as calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidemill.client import shapes
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class RegistryCalls(Waiting):
    """Artifacts and releases."""

    def artifacts(
        self,
        *,
        kind: str | None = None,
        q: str | None = None,
        tags: Mapping[str, str] | None = None,
        owner: str | None = None,
        limit: int | None = None,
    ) -> Sequence[shapes.VersionJson]:
        """The latest version of every artifact, of one kind or of all; `q` finds words in names, descriptions and tags."""
        return self._wait(lambda: self._client.artifacts(kind=kind, q=q, tags=tags, owner=owner, limit=limit))

    def iter_artifacts(self, *, kind: str | None = None, q: str | None = None) -> Iterator[shapes.VersionJson]:
        """The same one by one, a page at a time as they are asked for: for more than fits in memory."""
        return self._each(lambda: self._client.iter_artifacts(kind=kind, q=q))

    def artifact(self, ref: str) -> shapes.VersionJson:
        """One version: the one that `ref` names, else the latest."""
        return self._wait(lambda: self._client.artifact(ref))

    def versions(self, ref: str, *, limit: int | None = None) -> Sequence[shapes.VersionJson]:
        """Every version of an artifact, newest first."""
        return self._wait(lambda: self._client.versions(ref, limit=limit))

    def set_alias(
        self, ref: str, alias: str, *, why: str = "", expected: str | None = None, if_match: str | None = None
    ) -> JsonObject:
        """Move an alias to the version that `ref` names; with `expected`, only when it still points there.

        `if_match`, an entity tag of the alias, says the same: `PreconditionFailed` when it was moved since.
        """
        return self._wait(lambda: self._client.set_alias(ref, alias, why=why, expected=expected, if_match=if_match))

    def make_release(self, root: str) -> shapes.ReleaseJson:
        """Lock an app with everything that it needs; the same content gives the same release."""
        return self._wait(lambda: self._client.make_release(root))

    def release(self, digest: str) -> shapes.ReleaseJson:
        """A release by its digest."""
        return self._wait(lambda: self._client.release(digest))

    def release_diff(self, a: str, b: str) -> JsonObject:
        """What differs between two releases."""
        return self._wait(lambda: self._client.release_diff(a, b))
