# Made by scripts/sync_client.py from src/tidemill/client/api.py; change that file and run the script.
"""`Client`: the same as `AsyncClient`, without `await`."""

from __future__ import annotations

from tidemill.client.sync.access import AccessCalls
from tidemill.client.sync.artifacts import ArtifactCalls
from tidemill.client.sync.catalogue import CatalogueCalls
from tidemill.client.sync.changes import ChangeCalls
from tidemill.client.sync.data import DataCalls
from tidemill.client.sync.db import DatabaseCalls
from tidemill.client.sync.endpoints import EndpointCalls
from tidemill.client.sync.environments import EnvironmentCalls
from tidemill.client.sync.evaluations import EvaluationCalls
from tidemill.client.sync.evidence import EvidenceCalls
from tidemill.client.sync.feedback import FeedbackCalls
from tidemill.client.sync.figures import FigureCalls
from tidemill.client.sync.govern import GovernCalls
from tidemill.client.sync.jobs import JobCalls
from tidemill.client.sync.lineage import LineageCalls
from tidemill.client.sync.maturity import MaturityCalls
from tidemill.client.sync.monitors import MonitorCalls
from tidemill.client.sync.numbers import NumberCalls
from tidemill.client.sync.pipelines import PipelineCalls
from tidemill.client.sync.plans import PlanCalls
from tidemill.client.sync.privacy import PrivacyCalls
from tidemill.client.sync.pull import PullCalls
from tidemill.client.sync.registry import RegistryCalls
from tidemill.client.sync.rollouts import RolloutCalls
from tidemill.client.sync.routes import RouteCalls
from tidemill.client.sync.runs import RunCalls
from tidemill.client.sync.traces import TraceCalls
from tidemill.client.sync.traces_import import TraceImportCalls
from tidemill.client.sync.transfer import TransferCalls
from tidemill.client.sync.tune import TuneCalls


class Client(
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
    """The control plane of one project. Use it as `with Client() as client:`.

    It talks to the server at `url` (else `TIDEMILL_URL`, else the one that holds the data folder) and, when there
    is none, opens the data folder in this process. Every method raises a `TidemillError` that says what failed.
    """
