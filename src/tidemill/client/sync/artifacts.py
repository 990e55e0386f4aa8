# Made by scripts/sync_client.py from src/tidemill/client/artifacts.py; change that file and run the script.
"""Artifacts, as calls: tags, aliases, deleting and restoring, erasing rows, verifying releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.client.artifacts import AliasJson, AliasMoveJson, DeletedJson, ErasedJson, RemovedJson, VerificationJson
from tidemill.client.shapes import ReleaseJson, VersionJson
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import Json


class ArtifactCalls(Waiting):
    """Calls about artifacts and their versions."""

    def tag(
        self,
        ref: str,
        tags: Mapping[str, str | None] | None = None,
        *,
        description: str | None = None,
        owner: str | None = None,
    ) -> VersionJson:
        """Set tags (None removes one), description and owner of a version, the latest by default; the digest stays."""
        return self._wait(lambda: self._client.tag(ref, tags, description=description, owner=owner))

    def aliases(self, ref: str) -> Sequence[AliasJson]:
        """The aliases of an artifact, `latest` too."""
        return self._wait(lambda: self._client.aliases(ref))

    def alias_moves(self, ref: str, *, alias: str | None = None, limit: int | None = None) -> Sequence[AliasMoveJson]:
        """Where an artifact's aliases pointed over time, newest first."""
        return self._wait(lambda: self._client.alias_moves(ref, alias=alias, limit=limit))

    def remove_alias(self, ref: str, alias: str, *, why: str = "", expected: str | None = None) -> VersionJson:
        """Take an alias away; the version that it pointed to."""
        return self._wait(lambda: self._client.remove_alias(ref, alias, why=why, expected=expected))

    def delete(
        self, ref: str, *, why: str = "", although_evaluated: bool = False, environment: str | None = None
    ) -> RemovedJson:
        """Delete a version, or an artifact with all of them, unless anything depends on it. It can be restored for a while.

        What has no versions, such as a connection, goes for good: in every environment, or in the one that is named.
        """
        return self._wait(
            lambda: self._client.delete(ref, why=why, although_evaluated=although_evaluated, environment=environment)
        )

    def restore(self, ref: str, *, why: str = "") -> RemovedJson:
        """Restore a deleted version, or every one of an artifact."""
        return self._wait(lambda: self._client.restore(ref, why=why))

    def deleted(self, *, kind: str | None = None, limit: int | None = None) -> Sequence[DeletedJson]:
        """The deleted versions that can be restored."""
        return self._wait(lambda: self._client.deleted(kind=kind, limit=limit))

    def purge(self) -> RemovedJson:
        """Remove for good what was deleted longer ago than the retention window."""
        return self._wait(self._client.purge)

    def erase_rows(self, dataset: str, samples: Sequence[str], *, why: str) -> ErasedJson:
        """Erase rows of a dataset from every version and every place that holds them. It cannot be undone."""
        return self._wait(lambda: self._client.erase_rows(dataset, samples, why=why))

    def releases(self, *, root: str | None = None, limit: int | None = None) -> Sequence[ReleaseJson]:
        """The releases that were made, of one app or of all, the newest of a name first."""
        return self._wait(lambda: self._client.releases(root=root, limit=limit))

    def verify_release(
        self, release: str | None = None, *, lock: Mapping[str, Json] | None = None, key: str = ""
    ) -> VerificationJson:
        """Recompute every digest of a release, by its digest, its root or its lock file, from what is kept."""
        return self._wait(lambda: self._client.verify_release(release, lock=lock, key=key))
