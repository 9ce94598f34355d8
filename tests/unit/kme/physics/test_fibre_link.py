"""The fibre link as time goes by: blocks, what they hold, fast time."""

import math
import statistics
from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.errors import QuantumLinkError
from gateway.kme.link import LinkModel, LinkState
from gateway.kme.physics import rate
from gateway.kme.physics.fibre import MAX_BLOCKS, MAX_CATCH_UP, MAX_TIME_SCALE
from gateway.kme.physics.parameters import metro
from gateway.kme.physics.rate import operation
from gateway.kme.physics.report import FibreBlock
from tests.unit.kme.physics.stepping import PERIOD, REDU, make, run


def test_an_hour_gives_what_the_rate_says() -> None:
    link = make()
    blocks = run(link, 1000.0, 10 * 3600.0)
    # The first block waits for post-processing, so one is in flight at the end.
    expected = operation(REDU).secret_rate * 10 * 3600
    total = sum(block.secret_bits for block in blocks)
    per_block = operation(REDU).secret_bits
    assert expected - 1.5 * per_block < total < expected + 0.5 * per_block
    # Each block's bits follow its own QBER, measured on two million bits.
    spread = math.sqrt(operation(REDU).qber / REDU.block_size)
    errors = [block.qber for block in blocks]
    assert statistics.fmean(errors) == pytest.approx(operation(REDU).qber, rel=0.003)
    assert 0.7 * spread < statistics.pstdev(errors) < 1.3 * spread
    worst, best = (
        max(blocks, key=lambda block: block.qber),
        min(blocks, key=lambda block: block.qber),
    )
    assert worst.secret_bits < per_block < best.secret_bits
    assert link.status().blocks_delivered == len(blocks)


def test_blocks_come_after_post_processing_and_overlap_the_next() -> None:
    blocks = run(make(), 0.0, 2000.0, tick=0.1)
    assert blocks[0].started == 0.0
    assert blocks[0].time == pytest.approx(PERIOD + 20.0, rel=0.01)
    for block, following in pairwise(blocks):
        assert block.time - block.collected == pytest.approx(20.0)
        assert following.started == pytest.approx(block.collected)
        assert following.time - block.time == pytest.approx(PERIOD, rel=0.01)
    assert len({block.collected - block.started for block in blocks}) == len(blocks)


def test_post_processing_may_take_longer_than_collecting() -> None:
    slow = replace(metro(), post_processing_delay=500.0)
    blocks = run(make(slow), 0.0, 3600.0)
    period = slow.block_size / operation(slow).sifted_rate
    assert blocks[0].time == pytest.approx(period + 500.0, rel=0.01)
    assert len(blocks) == pytest.approx((3600.0 - 500.0) / period, abs=1.5)


def test_blocks_are_returned_once_in_order_and_not_before_their_time() -> None:
    link = make(metro(), scale=100.0)
    last = -math.inf
    for count in range(200):
        now = 50.0 + count * 0.7
        for block in link.step(now):
            assert last <= block.time <= now + 1e-6
            assert block.started < block.collected <= block.time
            last = block.time
            assert link.status().blocks_delivered > 0
        if math.isfinite(last):
            assert link.status().last_block == pytest.approx(last)
    assert link.status().blocks_delivered > 100


def test_the_same_seed_and_calls_give_the_same_blocks() -> None:
    troubled = replace(REDU, time_between_failures=3600.0, time_to_repair=600.0)

    def story(seed: bytes) -> tuple[list[FibreBlock], object]:
        link = make(troubled, seed, scale=60.0)
        blocks = run(link, 0.0, 100.0)
        link.intercept(0.02)
        blocks += run(link, 101.0, 100.0)
        link.down()
        link.up()
        return blocks + run(link, 202.0, 100.0), link.status()

    assert story(b"one") == story(b"one")
    assert story(b"one") != story(b"two")


def test_how_often_it_is_stepped_changes_nothing() -> None:
    often = run(make(seed=b"tick"), 0.0, 3600.0, tick=0.1)
    rarely = run(make(seed=b"tick"), 0.0, 3600.0, tick=45.0)
    assert len(often) == len(rarely) == 17
    for one, other in zip(often, rarely, strict=True):
        assert (one.secret_bits, one.qber) == (other.secret_bits, other.qber)
        assert one.time == pytest.approx(other.time)


@pytest.mark.parametrize("scale", [0.5, 60.0, 3600.0])
def test_time_can_run_at_another_speed(scale: float) -> None:
    usual = run(make(), 0.0, 3600.0)
    fast = run(make(scale=scale), 7.0, 3600.0 / scale, tick=1.0 / scale)
    assert len(usual) == len(fast)
    for one, other in zip(usual, fast, strict=True):
        assert one.secret_bits == other.secret_bits
        assert one.time == pytest.approx((other.time - 7.0) * scale)
    status = make(scale=scale).status()
    assert status.secret_rate == pytest.approx(operation(REDU).secret_rate * scale)
    assert "times as fast" in status.description


@pytest.mark.parametrize("scale", [0.0, -1.0, MAX_TIME_SCALE * 1.01, math.nan])
def test_time_scales_out_of_range_are_refused(scale: float) -> None:
    with pytest.raises(QuantumLinkError, match="times as fast"):
        make(scale=scale)


def test_a_suspended_machine_makes_no_keys() -> None:
    link = make(metro(), scale=100.0)
    link.step(0.0)
    blocks = link.step(86_400.0)
    period = metro().block_size / operation(metro()).sifted_rate
    assert len(blocks) == pytest.approx(MAX_CATCH_UP * 100.0 / period, abs=2)
    assert all(block.time > 86_400.0 - MAX_CATCH_UP - 1 for block in blocks)
    # A clock that goes back is a pause too.
    assert link.step(1.0) == []
    assert len(link.step(86_401.0)) <= 4


def test_a_step_completes_a_bounded_number_of_blocks() -> None:
    quick = replace(metro(), block_size=100_000, post_processing_delay=0.0)
    link = make(quick, scale=MAX_TIME_SCALE)
    link.step(0.0)
    blocks = link.step(MAX_CATCH_UP)
    assert len(blocks) == MAX_BLOCKS
    more = link.step(MAX_CATCH_UP)
    assert len(more) == MAX_BLOCKS
    assert blocks[-1].time <= more[0].time <= more[-1].time < MAX_CATCH_UP


def test_a_step_asks_the_package_only_when_a_block_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = make()
    link.step(0.0)
    link.status()
    asked = []
    evaluate = rate._evaluate

    def count(*arguments: object) -> object:
        asked.append(arguments)
        return evaluate(*arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(rate, "_evaluate", count)
    blocks = run(link, 1.0, 3600.0)
    for _ in range(100):
        link.status()
    assert len(asked) == 2 * len(blocks)


def test_it_is_a_link_model_that_says_it_is_no_quantum_link() -> None:
    link: LinkModel = make()
    assert link.blocks_due(0.0) == []
    status = link.status()
    assert (status.state, status.qber, status.alarm) == (LinkState.UP, None, "")
    assert status.description == (
        "simulated, NOT quantum keys: decoy-state BB84 over 80 km, 18.8 dB"
    )
    blocks = [block for now in range(300) for block in link.blocks_due(float(now))]
    assert len(blocks) == 1
    assert link.status().qber == blocks[0].qber
