"""`tidemill eval`: a release on a dataset, scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidemill.cli.figures import NOTHING, count, counted, duration, figure, interval, money, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import paint, say, say_json
from tidemill.cli.table import Column, table

if TYPE_CHECKING:
    from tidemill.client.shapes import EvaluationJson


async def evaluate(
    app: str,
    /,
    *,
    data: str,
    scorer: tuple[str, ...] = (),
    n: Annotated[int, Parameter(name="-n")] = 1,
    limit: int | None = None,
    environment: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Run an app on every sample of a dataset and score what came out.

    What was run before and has not changed is not run again.

    :param app: A chain, agent, prompt or model, or a release's digest.
    :param data: The dataset, as in dataset/questions or dataset/questions@v2.
    :param scorer: A scorer: a built-in's name or scorer/NAME; give it again for more. Default: those that fit the
        dataset.
    :param n: How many times each sample is run.
    :param limit: Only the first N samples.
    :param environment: Whose connections it uses, as in staging. Default: the server's.
    """
    async with open_client(options) as client:
        evaluation, job = await client.start_evaluation(
            app, data=data, scorers=scorer, n=n, limit=limit, environment=environment
        )
        await follow_job(client, job, label="evaluation", quiet=options.json)
        result = await client.evaluation(evaluation)
    if options.json:
        say_json(result)
    else:
        print_evaluation(result)


def print_evaluation(result: EvaluationJson) -> None:
    """An evaluation: metrics with their intervals, what was done, and what was not done again."""
    errors = result.get("errors", 0)
    failed = paint(f"{counted(errors, 'error')}", "bad") if errors else "no errors"
    say(f"evaluation {result.get('id')}")
    what = " on ".join(each for each in (result.get("app") or short(result.get("release")), result.get("dataset")) if each)
    say(f"{what}, {counted(result.get('samples', 0), 'sample')}, {failed}")
    say()
    rows = [
        [name, figure(name, each.get("mean")), interval(name, each.get("interval")), count(each.get("n", 0))]
        for name, each in result.get("metrics", {}).items()
    ]
    if rows:
        columns = [Column("metric"), Column("mean", "point"), Column("95% interval"), Column("n", "right")]
        for line in table(columns, rows):
            say(line)
        say()
    say(f"{'Ran':<10}{_counts(result.get('calls', {}))}   {duration(result.get('duration_ms'))}, {money(result.get('cost'))}")
    say(f"{'Re-used':<10}{_counts(result.get('reused', {}))}")
    say(f"{'Next':<10}tidemill compare {result.get('id')} EVALUATION")


_CALLS = {"model": "generation", "embed": "embedding", "retrieve": "search", "tool": "tool call"}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(counted(number, _CALLS.get(name, name.removesuffix("s"))) for name, number in counts.items()) or NOTHING


COMMAND = evaluate
