"""Sampling: the same decision everywhere, weights that leave counts unbiased, and whole traces that survive a kill."""

from __future__ import annotations

import math
import random

import orjson
import pytest
from msgspec.structs import replace

from telemetry.spans import make_span
from tidemill.core.errors import Unavailable
from tidemill.telemetry.sampling import Sampling, Seen, Tail, decide, read_sampling, sample_head, sender_weight
from tidemill.telemetry.spool.frames import SPANS, decode_rows
from tidemill.telemetry.spool.segments import Position
from tidemill.telemetry.spool.spool import Spool
from tidemill.telemetry.tail_sampling import TailSampler

pytestmark = pytest.mark.anyio


def ids(count: int, *, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    return [f"{chance.getrandbits(128):032x}" for _ in range(count)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("made", ["random", "counted"])
def test_weighted_counts_at_the_head_are_unbiased(share, made):
    count = 20_000
    names = ids(count) if made == "random" else [f"{number:032x}" for number in range(count)]
    kept = [each for name in names if (each := sample_head(replace(make_span(1), trace_id=name), share)) is not None]
    estimate, spread = sum(each.weight for each in kept), math.sqrt(count * (1 - share) / share)
    assert abs(estimate - count) < 4 * spread


def test_a_trace_is_kept_whole_and_a_larger_share_keeps_it_too():
    for name in ids(200):
        spans = [replace(make_span(number), trace_id=name) for number in range(3)]
        at_a_tenth = {sample_head(each, 0.1) is not None for each in spans}
        assert len(at_a_tenth) == 1
        if at_a_tenth == {True}:
            assert sample_head(spans[0], 0.2) is not None


@pytest.mark.parametrize(
    ("state", "weight"),
    [
        ("", 1), ("ot=th:8", 2), ("ot=th:c", 4), ("ot=th:0", 1), ("v=x, ot=rv:0123456789abcd;th:fd70a4", 100), ("ot=p:3", 8),
        ("ot=p:63", 1), ("ot=th:zz", 1), ("ot=th:ffffffffffffff", 2**56), ("th:8", 1), ("xot=th:8", 1), ("ot=", 1),
    ],
)  # fmt: skip
def test_what_the_sender_left_out_counts(state, weight):
    assert sender_weight(state) == pytest.approx(weight, rel=1e-4)


def traces(count: int, *, seed: int) -> list[tuple[str, Seen]]:
    """Of which a tenth fails, a tenth is slow, a tenth is dear."""
    chance = random.Random(seed)
    found = []
    for name in ids(count, seed=seed):
        seen = Seen()
        seen.add(
            make_span(
                0, kind="llm", status="error" if chance.random() < 0.1 else "ok", cost=0.5 if chance.random() < 0.1 else 0.01,
                end_ns=make_span(0).start_ns + (5 * 10**9 if chance.random() < 0.1 else 10**6),
            )
        )  # fmt: skip
        found.append((name, seen))
    return found


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_weighted_counts_and_sums_at_the_tail_are_unbiased(share):
    tail = Tail(share=share, slower_than_ns=10**9, dearer_than=0.1)
    whole = traces(20_000, seed=3)
    kept = [(seen, weight) for name, seen in whole if (weight := decide(name, seen, tail))]
    certain = sum(1 for seen, weight in kept if weight == 1)
    rest = len(whole) - certain
    assert abs(sum(weight for _, weight in kept) - len(whole)) < 4 * math.sqrt(rest * (1 - share) / share)
    cost = sum(seen.cost for _, seen in whole)
    assert abs(sum(seen.cost * weight for seen, weight in kept) - cost) < 4 * 0.01 * math.sqrt(rest * (1 - share) / share)
    assert all(weight == 1 for seen, weight in kept if seen.has_error or seen.cost > 0.1 or seen.length_ns > 10**9)


def test_head_and_tail_together_are_unbiased():
    tail, estimate, count = Tail(share=0.25), 0.0, 40_000
    for name in ids(count, seed=7):
        first = sample_head(replace(make_span(1), trace_id=name), 0.25)
        if first is not None:
            estimate += first.weight * decide(name, Seen(), tail)
    assert abs(estimate - count) < 4 * math.sqrt(count * 15)


def test_feedback_keeps_a_trace():
    seen = Seen(has_feedback=True)
    assert {decide(name, seen, Tail(share=0.01)) for name in ids(200)} == {1.0}
    assert {decide(name, seen, Tail(share=0.01, feedback=False)) for name in ids(50)} <= {0.0, 100.0}


def test_the_rules_of_a_document():
    assert read_sampling(None) == Sampling()
    assert read_sampling({"head": 0.5}) == Sampling(head=0.5)
    spec = {"tail": {"share": 0.1, "errors": False, "slower_than": "2s", "dearer_than": 1, "feedback": False, "wait": "3s"}}
    assert read_sampling(spec).tail == Tail(
        share=0.1, errors=False, slower_than_ns=2 * 10**9, dearer_than=1.0, feedback=False, wait_seconds=3.0
    )


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"heads": 1}, "no 'heads'"), ({"head": 0}, "head is 0"), ({"head": 2}, "head is 2"), ({"head": True}, "head is True"),
        ({"head": "x"}, "head is 'x'"), ({"tail": 0.1}, "tail is not a table"), ({"tail": {"share": 0}}, "share is 0"),
        ({"tail": {"slower": "2s"}}, "no 'slower'"), ({"tail": {"slower_than": "soon"}}, "soon"),
        ({"tail": {"dearer_than": "x"}}, "US dollars"), ({"tail": {"errors": "yes"}}, "true or false"),
        ({"tail": {"wait": "2h"}}, "longest is 10m"),
    ],
)  # fmt: skip
def test_rules_that_make_no_sense(spec, said):
    with pytest.raises(ValueError, match=said):
        read_sampling(spec)


def rows_of(spool: Spool) -> list[dict]:
    found, place = [], Position()
    while place < spool.durable:
        batch = spool.read(place)
        for payload in batch.payloads:
            rows = decode_rows(payload)
            assert rows.table == SPANS
            found += [orjson.loads(line) for line in rows.content.split(b"\n")]
        place = batch.end
    return found


def batch_of(names: list[str]):
    """A root and a child each; of every tenth trace the child fails, and comes last."""
    for place, name in enumerate(names):
        status = "error" if place % 10 == 0 else "ok"
        yield replace(make_span(1), trace_id=name)
        yield replace(make_span(2, parent=1, status=status), trace_id=name)


async def test_traces_are_decided_when_they_are_whole(tmp_path):
    out = Spool(tmp_path / "spool")
    sampler = TailSampler(tmp_path / "held", out, tail_of=lambda _: Tail(share=0.2, wait_seconds=3600))
    names = ids(1000)
    await sampler.append(list(batch_of(names)), received_ns=5)
    await sampler.look()
    assert rows_of(out) == []
    await sampler.keep("p", names[1])
    await out.sync()
    assert {(row["trace_id"], row["weight"]) for row in rows_of(out)} == {(names[1], 1)}
    await sampler.look(now=1e12)
    kept = rows_of(out)
    assert {row["trace_id"] for row in kept if row["weight"] == 1} == {names[1], *names[::10]}
    assert len(kept) == 2 * len({row["trace_id"] for row in kept})
    assert abs(sum(row["weight"] for row in kept) / 2 - 1000) < 4 * math.sqrt(900 * 4)
    assert sampler.sampled_out == 2000 - len(kept)
    left_out = next(name for name in names if name not in {row["trace_id"] for row in kept})
    late = [replace(make_span(3, parent=1), trace_id=name) for name in (names[0], left_out)]
    await sampler.append(late)
    assert [row["trace_id"] for row in rows_of(out)[len(kept) :]] == [names[0]]
    assert sampler.sampled_out == 2000 - len(kept) + 1
    await sampler.stop()
    out.close()


async def test_what_waited_when_the_process_was_killed_is_decided_after_it(tmp_path):
    names = ids(300)
    tail = Tail(share=0.2, wait_seconds=3600)
    first = TailSampler(tmp_path / "held", Spool(tmp_path / "spool"), tail_of=lambda _: tail)
    await first.append(list(batch_of(names[:100])))
    await first.append(list(batch_of(names[100:])))
    # killed here: nothing is closed, nothing decided
    out = Spool(tmp_path / "spool")
    again = TailSampler(tmp_path / "held", out, tail_of=lambda _: tail)
    await again.start()
    await again.look(now=1e12)
    kept = {row["trace_id"] for row in rows_of(out)}
    assert set(names[::10]) <= kept
    assert abs(sum(row["weight"] for row in rows_of(out)) / 2 - 300) < 4 * math.sqrt(270 * 4)
    await again.stop()
    # killed before the position was noted: decided again, the same way
    (tmp_path / "held" / "projected.json").unlink()
    third = TailSampler(tmp_path / "held", out, tail_of=lambda _: tail)
    await third.start()
    await third.look(now=1e12)
    assert {row["trace_id"] for row in rows_of(out)} == kept
    await third.stop()
    out.close()


async def test_more_than_memory_holds_is_decided_early(tmp_path):
    out = Spool(tmp_path / "spool")
    sampler = TailSampler(tmp_path / "held", out, tail_of=lambda _: Tail(share=1, wait_seconds=3600), most_bytes=100_000)
    await sampler.append(list(batch_of(ids(500))))
    await sampler.look()
    kept = len(rows_of(out))
    assert 0 < kept < 1000
    await sampler.look()
    assert len(rows_of(out)) == kept
    await sampler.stop()
    out.close()


async def test_while_nothing_can_be_decided_memory_is_bounded(tmp_path):
    out = Spool(tmp_path / "spool")
    sampler = TailSampler(tmp_path / "held", out, tail_of=lambda _: Tail(share=1, wait_seconds=0), most_bytes=100_000)
    out.close()  # it refuses, as with a full disk
    await sampler.append([replace(make_span(1), trace_id=name) for name in ids(1000)])
    await sampler.look()
    with pytest.raises(Unavailable):
        await sampler.append([make_span(1)])
    sampler.put(make_span(1))
    assert sampler.dropped == 1
    await sampler.stop()
