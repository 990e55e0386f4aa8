"""`AsyncClient`: one method a use case."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tidemill.client.access import AccessCalls
from tidemill.client.artifacts import ArtifactCalls
from tidemill.client.catalogue import CatalogueCalls
from tidemill.client.changes import ChangeCalls
from tidemill.client.connect import open_line
from tidemill.client.data import DataCalls
from tidemill.client.db import DatabaseCalls
from tidemill.client.endpoints import EndpointCalls
from tidemill.client.environments import EnvironmentCalls
from tidemill.client.evaluations import EvaluationCalls
from tidemill.client.evidence import EvidenceCalls
from tidemill.client.feedback import FeedbackCalls
from tidemill.client.figures import FigureCalls
from tidemill.client.govern import GovernCalls
from tidemill.client.jobs import JobCalls
from tidemill.client.lineage import LineageCalls
from tidemill.client.maturity import MaturityCalls
from tidemill.client.monitors import MonitorCalls
from tidemill.client.numbers import NumberCalls
from tidemill.client.pipelines import PipelineCalls
from tidemill.client.plans import PlanCalls
from tidemill.client.privacy import PrivacyCalls
from tidemill.client.pull import PullCalls
from tidemill.client.registry import RegistryCalls
from tidemill.client.retry import RETRIES, TIMEOUT, Retries
from tidemill.client.rollouts import RolloutCalls
from tidemill.client.routes import RouteCalls
from tidemill.client.runs import RunCalls
from tidemill.client.traces import TraceCalls
from tidemill.client.traces_import import TraceImportCalls
from tidemill.client.transfer import TransferCalls
from tidemill.client.tune import TuneCalls
from tidemill.core.errors import Invalid
from tidemill.core.settings import Settings, load_settings


class AsyncClient(
    AccessCalls,
    ArtifactCalls,
    CatalogueCalls,
    ChangeCalls,
    DataCalls,
    DatabaseCalls,
    EndpointCalls,
    EnvironmentCalls,
    EvaluationCalls,
    EvidenceCalls,
    FeedbackCalls,
    FigureCalls,
    GovernCalls,
    LineageCalls,
    MaturityCalls,
    MonitorCalls,
    NumberCalls,
    PipelineCalls,
    PlanCalls,
    PrivacyCalls,
    PullCalls,
    RegistryCalls,
    RolloutCalls,
    RouteCalls,
    RunCalls,
    TraceCalls,
    TraceImportCalls,
    TransferCalls,
    TuneCalls,
    JobCalls,
):
    """The control plane of one project, as coroutines. Use it as `async with AsyncClient() as client:`.

    It talks to the server at `url` (else `TIDEMILL_URL`, else the one that holds the data folder) and, when there is none,
    opens the data folder in this process. Every method raises a `TidemillError` that says what was wrong.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        project: str | None = None,
        data: Path | None = None,
        settings: Settings | None = None,
        retries: int = RETRIES,
        timeout: float = TIMEOUT,
    ) -> None:
        """Choose where to look; nothing is opened yet.

        A call that met a busy or unreachable server is tried again, at most `retries` times and for `timeout` seconds in all.
        Raises `Invalid` for a setting that makes no sense.
        """
        if retries < 0 or timeout <= 0:
            raise Invalid(f"retries {retries} and timeout {timeout} make no sense", hint="Use 0 or more, and more than 0 s.")
        self._retries = Retries(most=retries, timeout=timeout)
        base = settings or load_settings(Path.cwd(), data=data, project=project)
        self.settings = replace(base, url=url or base.url, token=token or base.token)
        self._stack = AsyncExitStack()
        super().__init__()

    async def __aenter__(self) -> Self:
        self._opened = await self._stack.enter_async_context(open_line(self.settings, retries=self._retries))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened = None
        await self._stack.__aexit__(exc_type, exc_value, traceback)

    @property
    def in_process(self) -> bool:
        """Whether the application runs in this process, so that its jobs stop when the client is closed."""
        return self._line.in_process

    @property
    def address(self) -> str:
        """The server's address; the data folder when the application runs in this process."""
        return self._line.where
