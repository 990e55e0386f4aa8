"""In whose name the steps of a pipeline act."""

from __future__ import annotations

from typing import cast

from tidemill.api.caller import Caller
from tidemill.api.platform import Platform
from tidemill.pipelines.step import StepContext
from tidemill.store import people
from tidemill.store.access import Principal, Role


class _Starter(Principal):
    """Who started a run, as its row names them."""

    @property
    def who(self) -> str:
        """As the run says, also when nobody started it by hand: `pipeline/improve`."""
        return self.key_id


def caller_of(platform: Platform, context: StepContext) -> Caller:
    """Whoever started the run, with the role that they had, in this project."""
    standing = platform.database.read_sync(lambda db: people.standing_in(db, context.project, context.who))
    principal = _Starter(
        project=context.project,
        is_admin=context.who == "admin",
        endpoints=None,
        key_id=context.who,
        role=cast("Role", context.role),
        standing=standing,
    )
    return Caller(platform=platform, project=context.project, principal=principal)
