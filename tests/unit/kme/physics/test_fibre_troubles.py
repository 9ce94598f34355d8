"""The fibre link under an eavesdropper, cut, out of order, or too long."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.errors import QuantumLinkError
from gateway.kme.link import LinkState
from gateway.kme.physics.parameters import metro
from gateway.kme.physics.rate import alarm_qber, operation
from tests.unit.kme.physics.stepping import PERIOD, REDU, make, run


def test_an_eavesdropper_raises_the_alarm_and_no_bit_is_delivered() -> None:
    link = make()
    before = run(link, 0.0, 3 * PERIOD + 30.0)
    assert all(block.secret_bits for block in before)
    link.eavesdrop(True)
    assert link.status().secret_rate == 0.0
    during = run(link, 3 * PERIOD + 31.0, 4 * PERIOD)
    # Of the first block some bits came before, but far too many are wrong already.
    assert [block.secret_bits for block in during] == [0] * 4
    assert during[-1].qber == pytest.approx(operation(REDU, 1.0).qber, rel=0.01)
    assert during[-1].time == during[-1].collected  # nothing to post-process
    status = link.status()
    assert status.state is LinkState.EAVESDROPPED
    assert status.secret_rate == 0.0
    assert "QBER 26.1% is over 3.6%" in status.alarm
    assert status.blocks_discarded == 4
    assert status.intercepted == 1.0

    link.eavesdrop(False)
    after = run(link, 7 * PERIOD + 32.0, 4 * PERIOD)
    assert [bool(block.secret_bits) for block in after] == [False, True, True, True]
    assert link.status().state is LinkState.UP
    assert link.status().alarm == ""
    assert link.status().secret_rate == operation(REDU).secret_rate


def test_blocks_made_before_the_attack_are_still_delivered() -> None:
    slow = replace(REDU, post_processing_delay=300.0)
    link = make(slow)
    assert run(link, 0.0, PERIOD * 1.1) == []
    link.eavesdrop(True)
    blocks = run(link, PERIOD * 1.1 + 1.0, 2 * PERIOD)
    assert [bool(block.secret_bits) for block in blocks] == [False, True, False]
    # The good one comes late; that does not silence the alarm.
    assert link.status().state is LinkState.EAVESDROPPED


@pytest.mark.parametrize("fraction", [0.01, 0.03])
def test_a_timid_eavesdropper_costs_key_but_raises_no_alarm(fraction: float) -> None:
    link = make()
    link.intercept(fraction)
    blocks = run(link, 0.0, 5 * PERIOD)
    tapped = operation(REDU, fraction)
    assert tapped.qber < alarm_qber(REDU)
    for block in blocks:
        assert block.secret_bits == pytest.approx(tapped.secret_bits, rel=0.05)
        assert block.secret_bits < 0.95 * operation(REDU).secret_bits
    assert link.status().state is LinkState.UP
    assert link.status().secret_rate == tapped.secret_rate


def test_key_that_could_still_be_made_is_not_once_the_alarm_is_on() -> None:
    link = make()
    link.intercept(0.08)
    assert operation(REDU, 0.08).secret_rate > 0.0
    assert link.status().secret_rate == 0.0
    assert [block.secret_bits for block in run(link, 0.0, 2.5 * PERIOD)] == [0, 0]
    assert link.status().state is LinkState.EAVESDROPPED


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_only_fractions_can_be_intercepted(fraction: float) -> None:
    with pytest.raises(QuantumLinkError, match="nobody intercepts"):
        make().intercept(fraction)


def test_an_alarm_set_too_high_still_lets_no_key_through() -> None:
    deaf = replace(REDU, alarm_qber=0.3)
    link = make(deaf)
    link.eavesdrop(True)
    blocks = run(link, 0.0, 2.5 * PERIOD)
    assert [block.secret_bits for block in blocks] == [0, 0]
    assert link.status().state is LinkState.UP
    assert link.status().secret_rate == 0.0
    assert "no key comes from a QBER of 26" in link.status().alarm
    assert link.status().blocks_discarded == 2


def test_a_fibre_too_long_says_so() -> None:
    link = make(replace(REDU, length_km=200.0))
    assert link.status().state is LinkState.UP
    assert link.status().secret_rate == 0.0
    assert link.status().alarm == "no key: 44 dB is too much for these boxes"
    assert sum(b.secret_bits for b in run(link, 0.0, 36_000.0, tick=30.0)) == 0


def test_a_cut_loses_what_is_not_delivered_and_mending_takes_time() -> None:
    link = make(replace(REDU, post_processing_delay=60.0))
    assert run(link, 0.0, PERIOD + 30.0) == []  # one in post-processing, one begun
    link.down()
    link.down()
    assert link.status().state is LinkState.DOWN
    assert link.status().secret_rate == 0.0
    assert "no light" in link.status().alarm
    assert link.status().blocks_lost == 2
    assert run(link, PERIOD + 31.0, 3600.0) == []
    link.up()
    mended = float(int(PERIOD + 31.0) + 3600)
    assert link.status().state is LinkState.DOWN
    assert "synchronise" in link.status().alarm
    blocks = run(link, mended, 61.0)
    assert blocks == []
    assert link.status().state is LinkState.UP
    blocks = run(link, mended + 62.0, PERIOD + 100.0)
    assert len(blocks) == 1
    assert blocks[0].started == pytest.approx(mended + 60.0, abs=2.0)
    assert blocks[0].time == pytest.approx(mended + 60.0 + PERIOD + 60.0, rel=0.01)
    assert link.status().blocks_lost == 2


def test_mending_what_is_not_cut_changes_nothing() -> None:
    link, other = make(), make()
    for _ in range(3):
        link.up()
    assert run(link, 0.0, 900.0) == run(other, 0.0, 900.0)


def test_random_outages_take_the_share_of_time_configured() -> None:
    troubled = replace(
        metro(),
        # Blocks of six minutes, not of one: each takes long to compute, and outages
        # of hours are what this is about.
        block_size=8 * metro().block_size,
        time_between_failures=7200.0,
        time_to_repair=2400.0,
        synchronisation_time=0.0,
    )
    link = make(troubled, scale=1000.0)
    states = []
    for count in range(20_000):
        link.step(count * 0.1)
        states.append(link.status().state)
    # A quarter of 2e6 simulated seconds, in about 208 outages.
    down = states.count(LinkState.DOWN) / len(states)
    assert down == pytest.approx(0.25, abs=0.04)
    changes = sum(
        one is LinkState.UP and two is LinkState.DOWN for one, two in pairwise(states)
    )
    assert 150 < changes < 260
    assert link.status().blocks_lost > 150
    made = link.status().blocks_delivered * troubled.block_size
    assert made < 0.8 * operation(troubled).sifted_rate * 2e6


def test_a_cut_by_hand_outlasts_a_random_repair() -> None:
    troubled = replace(
        metro(), time_between_failures=60.0, time_to_repair=1.0, synchronisation_time=0
    )
    link = make(troubled)
    run(link, 0.0, 10.0)
    link.down()
    assert run(link, 11.0, 2000.0) == []
    assert link.status().state is LinkState.DOWN
