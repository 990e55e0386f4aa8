"""`kind: scorer` and `kind: gate`: the public kit, and each wrong spec with its one clear answer."""

import pytest

from tidemill.core.errors import Invalid
from tidemill.core.records import Version
from tidemill.evaluation.gate_rules import CheckRule
from tidemill.evaluation.kinds import GateKind, ScorerKind, gate_rule
from tidemill.evaluation.scorers.choose import choose_scorers
from tidemill.testing import check_artifact_kind


class NoFiles:
    """A project without files."""

    def has_blob(self, digest):
        return False


CHECK = {"metric": "contains", "min": 0.5}


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "scoring_of_mine.py").write_text("def short(output):\n    return len(output) < 3\n")
    return "scoring_of_mine:short"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ScorerKind(), {"scorer": "recall_at_k", "options": {"k": 3}}),
        (ScorerKind(), {"scorer": "mrr"}),
        (GateKind(), {"checks": [CHECK]}),
        (GateKind(), {"against": "endpoint/x", "correction": "none", "checks": [{**CHECK, "test": "superiority"}]}),
        (GateKind(), {"checks": [{"metric": "x", "test": "noninferiority", "margin": 0.1, "alpha": 0.1, "slice": "a=b"}]}),
    ],
)  # fmt: skip
def test_the_kinds_keep_the_promises(kind, body):
    check_artifact_kind(kind, body=body, files=NoFiles())


def test_a_scorer_of_the_projects_own_keeps_the_promises(own):
    check_artifact_kind(ScorerKind(), body={"call": own, "reads": ["output"]}, files=NoFiles())


def refused(kind, body):
    with pytest.raises(Invalid) as caught:
        kind.parse(body, files=NoFiles())
    error = caught.value
    told = [error, *error.problems]
    return " | ".join(f"{getattr(each, 'message', '')} {each.where or ''} {each.hint or ''}" for each in told)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"scorer": "exact_mach"}, ["'exact_mach' is not a known scorer", "exact_match"]),
        ({"scorer": "recall_at_k", "options": {"kk": 3}}, ["has no option 'kk'", "options.kk"]),
        ({"scorer": "recall_at_k", "options": {"k": 0}}, ["k is a whole number from 1"]),
        ({"scorer": "recall_at_k", "options": {"name": "x"}}, ["has no option 'name'"]),
        ({"scorer": "contains", "options": {"all": "yes"}}, ["all is true or false"]),
        ({"scorrer": "mrr"}, ["scorrer", "scorer"]),
        ({}, ["needs either scorer"]),
        ({"scorer": "mrr", "call": "a:b"}, ["needs either scorer"]),
        ({"call": "no.such.module:f"}, ["no.such.module", "call"]),
        ({"call": "a:b", "reads": ["outputs"]}, ["reads"]),
        ({"scorer": 7}, ["scorer"]),
    ],
)
def test_a_wrong_scorer_is_refused(body, said):
    told = refused(ScorerKind(), body)
    for each in said:
        assert each in told


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, ["checks"]),
        ({"checks": []}, ["checks"]),
        ({"checks": [{"metric": "x"}]}, ["needs min, max or test"]),
        ({"checks": [{"metric": "x", "test": "noninferiority"}]}, ["needs margin"]),
        ({"checks": [{"metric": "x", "test": "noninferiority", "margin": -0.1}]}, ["margin"]),
        ({"checks": [{"metric": "x", "test": "better"}]}, ["test", "superiority"]),
        ({"checks": [{"metric": "x", "min": "much"}]}, ["min"]),
        ({"checks": [{"metric": "x", "min": float("nan")}]}, ["min"]),
        ({"checks": [{"metric": "x", "min": 0.9, "max": 0.1}]}, ["min 0.9 is above max 0.1"]),
        ({"checks": [{"metric": "x", "min": 1, "alpha": 1}]}, ["alpha"]),
        ({"checks": [{"metric": "x", "min": 1, "min_n": 0}]}, ["min_n"]),
        ({"checks": [{"metric": "x", "min": 1, "slice": "language"}]}, ["'language' is not a slice", "field=value"]),
        ({"checks": [{"metric": "x", "min": 1, "minn": 1}]}, ["minn", "min"]),
        ({"checks": [{"metric": "", "min": 1}]}, ["metric"]),
        ({"checks": [CHECK], "corection": "holm"}, ["corection", "correction"]),
        ({"checks": [CHECK], "correction": "bonferroni"}, ["correction"]),
    ],
)
def test_a_wrong_gate_is_refused(body, said):
    told = refused(GateKind(), body)
    for each in said:
        assert each in told


def test_a_gates_version_is_its_rule():
    parsed = GateKind().parse({"checks": [CHECK, {"metric": "x", "test": "superiority", "alpha": 0.01}]}, files=NoFiles())
    rule = gate_rule(Version(project="p", kind="gate", name="release", number=1, digest="d", spec=parsed.spec))
    assert (rule.name, rule.correction, rule.against) == ("release", "holm", None)
    assert rule.checks == [CheckRule(metric="contains", min=0.5), CheckRule(metric="x", test="superiority", alpha=0.01)]


def test_what_changed_is_told_in_lines():
    old, new = {"scorer": "recall_at_k", "options": {"k": 3}}, {"scorer": "recall_at_k", "options": {"k": 5}}
    assert list(ScorerKind().diff(old, new)) == ["options.k 3 -> 5"]
    assert list(GateKind().diff({"correction": "holm"}, {"correction": "holm", "against": "endpoint/x"})) == [
        "+ against endpoint/x"
    ]


def test_a_projects_scorers_are_chosen_by_name(own):
    bodies = {
        "scorer/early": {"scorer": "recall_at_k", "options": {"k": 3}},
        "scorer/short": {"call": own, "reads": ["output"]},
    }
    versions = {
        name: Version(
            project="p", kind="scorer", name=name.partition("/")[2], number=1, digest=f"sha256:{name}",
            spec=ScorerKind().parse(body, files=NoFiles()).spec,
        )
        for name, body in bodies.items()
    }  # fmt: skip
    early, short, plain = choose_scorers([*bodies, "recall_at_k"], dataset=versions["scorer/early"], project=versions.get)
    assert [early.metric, short.metric, plain.metric] == ["early", "short", "recall_at_k"]
    assert early.digest != plain.digest
    assert (short.scorer.reads, short.digest) == (frozenset({"output"}), "sha256:scorer/short")
