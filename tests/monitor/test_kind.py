"""The document of a monitor and its rules: what is refused, with its place, and what a rule makes of a run."""

from __future__ import annotations

import pytest

from tidemill.core.errors import Invalid
from tidemill.monitor.accept import rows_of
from tidemill.monitor.kinds import MonitorKind
from tidemill.monitor.quality import is_sampled
from tidemill.monitor.raising import alerts_of
from tidemill.monitor.rules import judge
from tidemill.monitor.spec import Past, parse_reference, read_monitor
from tidemill.store.monitors import MonitorRun, Proposal
from tidemill.testing.kinds import check_artifact_kind

HOOK = {"webhook": {"url": "https://pager.example.org/tide", "secret": "env:PAGER"}}
BODY = {
    "endpoint": "route",
    "reference": "dataset/questions@v2",
    "quality": {"scorers": ["groundedness_overlap", "scorer/kind"], "share": 0.2, "bucket": "15m"},
    "schedule": "*/15 * * * *",
    "alerts": [{"name": "new intents", "when": "drift.p_value < 0.01", "then": [HOOK, "rollback"]}],
}


class NoFiles:
    def has_blob(self, digest):
        return False


def test_a_monitor_is_a_kind() -> None:
    check_artifact_kind(MonitorKind(), body=BODY, files=NoFiles())
    parsed = MonitorKind().parse(BODY, files=NoFiles())
    assert parsed.spec["endpoint"] == "endpoint/route"
    assert parsed.references == {"reference": "dataset/questions@v2", "quality.scorers.1": "scorer/kind"}
    assert MonitorKind().parse(parsed.spec, files=NoFiles()).spec == parsed.spec


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        ({"endpoint": None}, "endpoint", "either an endpoint or a release"),
        ({"release": "sha256:" + "0" * 64}, "endpoint", "either an endpoint or a release"),
        ({"endpoint": "chain/x"}, "endpoint", "a endpoint is needed"),
        ({"reference": "model/x"}, "reference", "is a model"),
        ({"reference": "7 tides"}, "reference", "not a length of time"),
        ({"reference": "2026-01-02/2026-01-01"}, "reference", "ends before it begins"),
        ({"reference": None, "quality": None, "alerts": []}, "reference", "a reference, quality, or both"),
        ({"window": "soon"}, "window", "not a length of time"),
        ({"window": "0s"}, "window", "longer than nothing"),
        ({"schedule": "every day"}, "schedule", "fields"),
        ({"alpha": 0}, "alpha", "greater than 0"),
        ({"tests": ["tokens", "vibes"]}, "tests.1", "'tokens'"),
        ({"quality": {"scorers": []}}, "quality.scorers", "at least 1"),
        ({"alerts": [{"when": "drift.p_value <"}]}, "alerts.0.when", "not CEL"),
        ({"alerts": [{"when": "drift.pvalue < 1.0"}]}, "alerts.0.when", "'pvalue', which is not measured"),
        ({"alerts": [{"when": "quality.token_f1.mean < 1.0"}]}, "alerts.0.when", "'token_f1', which is not measured"),
        ({"alerts": [{"when": "tide.high"}]}, "alerts.0.when", "which this monitor does not measure"),
        ({"alerts": [{"when": "drift.p_value"}]}, "alerts.0.when", "neither true nor false"),
        ({"alerts": [{"when": "true", "then": ["page"]}]}, "alerts.0.then.0.page", "unknown key"),
        ({"alerts": [{"when": "true", "then": [{"webhook": {"url": "ftp://x", "secret": "env:A"}}]}]},
         "alerts.0.then.0.webhook.url", "not an HTTP URL"),
        ({"alerts": [{"when": "true", "then": [{"webhook": {"url": "https://x", "secret": "hunter2"}}]}]},
         "alerts.0.then.0.webhook.secret", "by reference"),
        ({"alerts": [{"when": "true", "then": [{"email": {"server": "mail:25", "to": ["a@b"], "from": "c@d"}}]}]},
         "alerts.0.then.0.email.server", "smtp://"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_place(change, where: str, said: str) -> None:
    body = {key: value for key, value in {**BODY, **change}.items() if value is not None}
    with pytest.raises(Invalid) as refused:
        MonitorKind().parse(body, files=NoFiles())
    problems = refused.value.problems
    assert where in {each.where for each in problems}, problems
    assert any(said in each.message for each in problems), problems
    assert "hunter2" not in str(problems)


def test_a_release_cannot_be_rolled_back() -> None:
    body = {"release": "sha256:" + "0" * 64, "reference": "7d", "alerts": [{"when": "drift.alarm", "then": ["rollback"]}]}
    with pytest.raises(Invalid, match="only an endpoint"):
        read_monitor(body)


def test_a_reference_is_a_dataset_or_a_window() -> None:
    assert parse_reference("questions") == "dataset/questions"
    past = parse_reference("2h")
    assert isinstance(past, Past)
    assert past.bounds(10**13) == (10**13 - 7200 * 10**9, 10**13)
    between = parse_reference("2026-01-01T00:00:00Z/2026-01-02")
    assert isinstance(between, Past)
    assert between.to_ns - between.from_ns == 86400 * 10**9


DRIFTED = {"drift": {"verdict": "drift", "alarm": True, "p_value": 0.005}, "window": {"n": 300, "errors": 0.1}}
UNDECIDABLE = {"drift": {"verdict": "undecidable", "alarm": False, "p_value": None}, "window": {"n": 5, "errors": 0.8}}


def test_rules_over_what_was_found() -> None:
    assert judge("drift.p_value < 0.01", DRIFTED).holds is True
    assert judge("drift.p_value < 0.001", DRIFTED).holds is False
    assert judge("window.errors > 0.05 && drift.alarm", DRIFTED).holds is True


def test_what_is_undecidable_is_never_an_alarm() -> None:
    for text in ("drift.p_value < 0.01", "!drift.alarm", "drift.verdict != 'drift'", "topics.new == 0"):
        held = judge(text, UNDECIDABLE)
        assert held.holds is None
        assert held.reason
    assert judge("window.errors > 0.5", UNDECIDABLE).holds is True  # this one does not read drift
    missing = judge("tests.language.alarm", DRIFTED)
    assert missing.holds is None


def test_alerts_carry_what_they_set_off_and_no_secret() -> None:
    run = MonitorRun(id="r", project="p", monitor="m", target="endpoint/route", config={"release": "sha256:1"})
    raised, told = alerts_of(run, read_monitor(BODY), DRIFTED, new_id=iter("abc").__next__, now_ns=7)
    assert [each["holds"] for each in told] == [True]
    (alert,) = raised
    assert [each.kind for each in alert.actions] == ["webhook", "rollback"]
    assert alert.actions[0].config["secret"] == "env:PAGER"
    assert "endpoint/route" in alert.message
    assert alerts_of(run, read_monitor(BODY), UNDECIDABLE, new_id=str, now_ns=7)[0] == []


def test_the_sampled_share_is_stable_and_nested() -> None:
    ids = [f"{number:032x}" for number in range(4000)]
    tenth = {each for each in ids if is_sampled(each, 0.1)}
    half = {each for each in ids if is_sampled(each, 0.5)}
    assert tenth < half
    assert 300 < len(tenth) < 500
    assert all(is_sampled(each, 1.0) for each in ids)


def test_proposals_become_rows_with_their_traces() -> None:
    proposal = Proposal(run="r", number=1, project="p", trace_id="t1", topic="cars", input={"question": "oil?"})
    rows, roles = rows_of([proposal], None, answers={})
    assert rows == [{"trace": "t1", "traces": ["t1"], "topic": "cars", "input": "oil?"}]
    assert roles.input == "input"
    (row,), _ = rows_of([proposal], None, answers={"t1": "oil_change"})
    assert row["reference"] == "oil_change"
