"""What a route may reach: the running parts, wired once by `app.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request

from tidemill.api.entry import Entry
from tidemill.api.part import Others
from tidemill.core.clock import Clock, Ids
from tidemill.core.extend import ArtifactKind
from tidemill.core.settings import Settings
from tidemill.data.index import Indexes
from tidemill.flows.run import Runner
from tidemill.govern.policy import Policies
from tidemill.jobs.engine import Jobs
from tidemill.jobs.schedules import Schedules
from tidemill.models.cache.answers import KeptAnswers
from tidemill.models.limits.limiter import Limits
from tidemill.models.routed import Routes
from tidemill.models.service import Models
from tidemill.pipelines.service import Pipelines
from tidemill.serve.endpoints import LiveEndpoints
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.project_keys import ProjectKeys
from tidemill.store.signing import Signature, platform_key, sign
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.recorder import Recorder
from tidemill.telemetry.store import Telemetry
from tidemill.telemetry.watch import Measures


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """The parts of one running server. Made by `app.py`, read by the routes, never changed."""

    settings: Settings
    data: Path
    database: Database
    blobs: Callable[[str], Blobs]
    kinds: Mapping[str, ArtifactKind]
    clock: Clock
    ids: Ids
    telemetry: Telemetry
    project_keys: ProjectKeys
    intake: Intake
    recorder: Recorder
    measures: Measures
    models: Models
    routes: Routes
    limits: Limits
    kept: KeptAnswers
    indexes: Indexes
    runner: Runner
    jobs: Jobs
    pipelines: Pipelines
    schedules: Schedules
    live: LiveEndpoints
    policies: Policies
    admin_token_hash: str
    entry: Entry
    process: str
    """This server's id among those that share the database."""
    others: Others | None = None
    """The other processes of this server, where it works with several."""
    allowed_hosts: frozenset[str] = field(default_factory=frozenset[str])

    def sign(self, message: bytes) -> Signature:
        """Sign with the key in the data folder, which is made at first use."""
        key, _ = platform_key(self.data)
        return sign(message, key=key)


def platform_of(request: Request) -> Platform:
    """The platform that serves this request."""
    platform = request.app.state.platform
    assert isinstance(platform, Platform)
    return platform
