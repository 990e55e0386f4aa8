"""Monitors by the clock: a source of `jobs/schedules.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from tidemill.api.monitors import RUN, make_run, served_release
from tidemill.api.platform import Platform
from tidemill.jobs.schedules import Scheduled, Source
from tidemill.monitor.spec import read_monitor
from tidemill.store import config, monitors
from tidemill.store.tables import projects


class MonitorSchedule:
    """Starts the monitors that have a `schedule`, in this server's environment."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def source(self) -> Source:
        """For `Schedules.add`."""
        return Source(kind="monitor", due=self._due, begin=self._begin, started=self._started)

    async def look(self) -> Sequence[str]:
        """For `Schedules.also`: start what was written by a schedule and lost its start to a kill; nothing is listed twice."""
        platform = self._platform
        found = await platform.database.remember(("monitor runs queued",), monitors.queued_runs)
        for run in found:
            job = await platform.jobs.submit(RUN, {"run": run.id}, project=run.project, job_id=run.id)
            if job.status in {"failed", "cancelled"}:  # it ended before it could say so itself
                ended = replace(run, status=job.status, error=job.error)
                await platform.database.write(lambda db, ended=ended: monitors.update_run(db, ended))
        return ()

    def _due(self, db: Connection) -> Iterable[Scheduled]:
        environment = self._platform.settings.environment
        for project in db.execute(select(projects.c.name)).scalars().all():
            of_all = {each.name: each for each in config.list_configs(db, project, kind="monitor") if each.environment is None}
            own = {
                each.name: each for each in config.list_configs(db, project, kind="monitor") if each.environment == environment
            }
            for each in {**of_all, **own}.values():
                cron = each.spec.get("schedule")
                if isinstance(cron, str):
                    yield Scheduled(project=project, name=each.name, cron=cron)

    def _begin(self, db: Connection, item: Scheduled, due_ns: int) -> str | None:  # noqa: ARG002  (the window ends now)
        platform = self._platform
        found = config.get_config(db, item.project, "monitor", item.name, platform.settings.environment)
        spec = read_monitor(found.spec)
        run = make_run(platform, item.project, spec, name=item.name)
        release = served_release(db, item.project, spec)
        monitors.create_run(db, replace(run, config={**run.config, "release": release}))
        return run.id

    async def _started(self, item: Scheduled, run: str) -> None:
        await self._platform.jobs.submit(RUN, {"run": run}, project=item.project, job_id=run)
