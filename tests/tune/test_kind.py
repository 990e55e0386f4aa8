from __future__ import annotations

import pytest

from tidemill.core.errors import Invalid
from tidemill.core.records import Version
from tidemill.testing import check_artifact_kind
from tidemill.tune.kinds import TuneKind
from tidemill.tune.recipe import recipe_for

LEAST = {"base": "model/local", "data": "dataset/train"}


def parse(**body):
    return TuneKind().parse({**LEAST, **body}, files=None)


def problems(**body):
    with pytest.raises(Invalid) as caught:
        parse(**body)
    return {each.where: each.message for each in caught.value.problems}


def version(kind: str, **spec) -> Version:
    return Version(project="p", kind=kind, name="x", number=1, digest=f"sha256:{'0' * 64}", spec=spec)


def dataset(**columns: str) -> Version:
    roles = {name: name for name in ("input", "reference") if name in columns}
    return version("dataset", columns=columns, roles=roles)


def test_what_is_left_out_is_filled_in_and_bare_names_get_their_kind():
    parsed = parse(base="local", data="train", evaluate_on="held", prompt="route")
    assert parsed.references == {
        "base": "model/local",
        "data": "dataset/train",
        "evaluate_on.0": "dataset/held",
        "prompt": "prompt/route",
    }
    assert parsed.spec["evaluate_on"] == ["dataset/held"]
    assert parsed.spec["epochs"] == 1.0
    assert parsed.spec["lora"]["rank"] == 16
    assert parsed.spec["lora"]["alpha"] == 32.0
    assert parse(base="local", data="train", evaluate_on=["held"], prompt="route") == parsed


def test_the_kit_holds():
    check_artifact_kind(TuneKind(), body=LEAST, files=None)


def test_epochs_become_steps_and_a_batch_is_no_larger_than_the_data():
    assert recipe_for(parse(epochs=2.0).spec, rows=100).steps == 25
    assert recipe_for(parse(steps=7).spec, rows=100).steps == 7
    assert recipe_for(parse(batch=64).spec, rows=20).batch == 20


def test_the_learning_rate_rises_then_falls_to_nothing():
    recipe = recipe_for(parse(steps=20, learning_rate=1.0).spec, rows=100)
    rates = [recipe.rate_at(step) for step in range(20)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.06


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        ({"method": "ppo"}, "method", "sft"),
        ({"steps": 5, "epochs": 1.0}, "epochs", "both given"),
        ({"beta": 0.2}, "beta", "belongs to the method dpo"),
        ({"learning_rate": 0}, "learning_rate", "greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate", "is nan"),
        ({"max_tokens": 4096}, "max_tokens", "2048"),
        ({"too_long": "ignore"}, "too_long", "refuse"),
        ({"lora": {"targets": ["q_prj"]}}, "lora.targets", "not a layer"),
        ({"lora": {"rank": 0}}, "lora.rank", "greater than or equal"),
        ({"base": "prompt/x"}, "base", "a model is needed"),
        ({"output": "model/x@v1"}, "output", "names none"),
        ({"evaluate": "dataset/x"}, "evaluate", "unknown key"),
    ],
)
def test_a_wrong_option_is_named(body, where, said):
    assert said in problems(**body)[where]


@pytest.mark.parametrize(
    ("method", "columns", "said"),
    [
        ("sft", {"input": "text", "reference": "text"}, None),
        ("sft", {"input": "list", "messages": "list"}, None),
        ("sft", {"input": "text"}, "no reference and no messages"),
        ("dpo", {"input": "text", "chosen": "text", "rejected": "text"}, None),
        ("dpo", {"input": "text", "reference": "text"}, "no column 'chosen'"),
    ],
)
def test_the_data_must_have_the_form_of_the_method(method, columns, said):
    found = TuneKind().check(parse(method=method).spec, resolved={"dataset/train": dataset(**columns)})
    assert [each.where for each in found] == (["data"] if said else [])
    assert said is None or said in found[0].message


def test_a_base_that_runs_elsewhere_is_refused():
    found = TuneKind().check(parse().spec, resolved={"model/local": version("model", provider="openai", model="gpt-9")})
    assert "only a local model can be tuned" in found[0].message
