"""Durable execution by DBOS: it remembers which jobs were started and starts those again that did not end.

On SQLite it does so by itself at the next start. On PostgreSQL, where several processes have jobs, whose turn it is stands in
the jobs' own rows (`store/processes.py`), and each start is a workflow of its own.

DBOS is one to a process and takes about half a second to import, so it is imported when there is work, and in a thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tidemill.core.errors import Conflict, Unavailable
from tidemill.core.json import dump_json, parse_json
from tidemill.store.drivers import place_of_url
from tidemill.store.postgres import JOBS_SCHEMA

if TYPE_CHECKING:
    from dbos import DBOSConfig

Standing: TypeAlias = Literal["unknown", "open", "closed"]
"""What DBOS knows of a job: nothing, that it is to be run to its end, or that it will not be run again."""

_APPLICATION_VERSION: Final = "tidemill-jobs/1"  # fixed, so that an upgraded server resumes what an older one began
_EXECUTOR: Final = "tidemill"
MAX_STARTS: Final = 20
"""A job that was started so many times, and whose process never lived to its end, is not started again."""
_OPEN: Final = frozenset({"PENDING", "ENQUEUED", "DELAYED"})


class Interrupted(BaseException):
    """Leaves a job open, to be resumed by the next start. Not an `Exception`, so that DBOS does not record it as an outcome."""


_lock: Final = threading.Lock()


class _Process:
    """What this process has of the driver: at most one that is launched, and the workflow once it is registered."""

    current: Durable | None = None
    workflow: Callable[[str], None] | None = None


class Durable:
    """Runs `run(job_id)` in a thread of its own until it returns, over restarts and kills of the process.

    `where` is a SQLite file of its own, or the URL of a PostgreSQL database, which `executor` shares with others. Every method
    blocks; call them from a worker thread.
    """

    def __init__(self, where: Path | str, run: Callable[[str], None], *, executor: str = _EXECUTOR) -> None:
        self.where = where
        self.run = run
        self.executor = executor

    @property
    def place(self) -> str:
        """The database as it is named in messages: without user and password."""
        return place_of_url(self.where) if isinstance(self.where, str) else str(self.where)

    def launch(self) -> None:
        """Open the database, and start again in the background what was cut off.

        Raises `Conflict` when another part of this process has launched it on another file.
        """
        from dbos import DBOS  # noqa: PLC0415  (slow; see above)

        with _lock:
            if _Process.current is not None:
                raise Conflict(
                    f"this process already runs the jobs of {_Process.current.place}",
                    hint="Close that one first, or use a process of its own for each data folder.",
                )
            if _Process.workflow is None:
                _Process.workflow = DBOS.workflow(name="tidemill.job", max_recovery_attempts=MAX_STARTS)(_run_current)
            _Process.current = self
            try:
                with self._explained():
                    DBOS(config=_config(self.where, self.executor))
                    DBOS.launch()
            except Unavailable:
                _Process.current = None
                DBOS.destroy()
                raise

    def start(self, job_id: str, *, number: int | None = None) -> None:
        """Begin a job. A job that was begun before, here or in an earlier process, is not begun twice.

        `number` says that it is the job's how manyeth start; what is left of the one before is closed.
        """
        from dbos import DBOS, SetWorkflowID  # noqa: PLC0415  (slow; see above)

        assert _Process.workflow is not None
        if number is not None and number > 1:
            with contextlib.suppress(Exception):  # one that never came to be; nothing depends on it
                DBOS.cancel_workflow(f"{job_id}.{number - 1}")
        with self._explained(), SetWorkflowID(job_id if number is None else f"{job_id}.{number}"):
            DBOS.start_workflow(_Process.workflow, job_id)

    def standing(self, job_id: str) -> Standing:
        """What is remembered of a job."""
        from dbos import DBOS  # noqa: PLC0415  (slow; see above)

        with self._explained():
            status = DBOS.get_workflow_status(job_id)
        if status is None:
            return "unknown"
        return "open" if status.status in _OPEN else "closed"

    def close(self) -> None:
        """Stop DBOS's threads and close its database. Jobs that still run must have been interrupted before."""
        with _lock:
            if _Process.current is not self:
                return
            from dbos import DBOS  # noqa: PLC0415  (slow; see above)

            DBOS.destroy()
            _Process.current = None

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            said = str(error) if isinstance(self.where, Path) else type(error).__name__  # the other might name the password
            raise Unavailable(
                f"the jobs database {self.place} does not work: {said}",
                hint="Make room or mend it. Moved away, it is made anew, and unfinished jobs start from their last step.",
            ) from error


def _run_current(job_id: str) -> None:
    current = _Process.current
    if current is None:
        raise Interrupted
    current.run(job_id)


def _config(where: Path | str, executor: str) -> DBOSConfig:
    from dbos import Serializer  # noqa: PLC0415  (slow; see above)

    class JsonSerializer(Serializer):
        """Never pickle: what is read back from a file must not be able to run code."""

        def serialize(self, data: Any) -> str:
            return dump_json(data if not isinstance(data, BaseException) else {"error": str(data)}).decode()

        def deserialize(self, serialized_data: str) -> Any:
            return parse_json(serialized_data, what="a job's record")

        def name(self) -> str:
            return "tidemill_json"

    return {
        "name": "tidemill",
        "system_database_url": where if isinstance(where, str) else f"sqlite:///{where}",
        "dbos_system_schema": JOBS_SCHEMA,
        "application_version": _APPLICATION_VERSION,
        "executor_id": executor,
        "serializer": JsonSerializer(),
        "log_level": "ERROR",
    }
