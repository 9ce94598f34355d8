"""The judge of the meddling laboratory: it must be able to find fault."""

import time

from lab.flows import Flow

from tests.meddle.judge import (
    HEALS,
    SILENT,
    spans_up,
    stalled,
    still_flowing,
    untrue,
    wait_for,
)
from tests.meddle.witness import Saying


def flow(*received: float) -> Flow:
    made = Flow("pc4 a>b", 4720, "10.72.0.10")
    made.arrivals.extend((at, at) for at in received)
    return made


def test_up_is_a_span_of_time() -> None:
    said = [Saying(1, "down", "x"), Saying(2, "up"), Saying(3, "up"), Saying(4, "")]
    assert spans_up(said, 9) == [(2, 4)]
    assert spans_up([*said, Saying(5, "up")], 9) == [(2, 4), (5, 9)]


def test_up_while_nothing_comes_is_untrue() -> None:
    said = [Saying(0, "up"), Saying(SILENT + 1, "up")]
    now = SILENT + 1
    (problem,) = untrue("a", said, [flow()], now)
    assert "a says up while nothing comes" in problem
    assert untrue("a", said, [flow(SILENT / 2)], now) == []


def test_silence_counts_within_a_span_and_not_across() -> None:
    said = [Saying(0, "up"), Saying(5, "unproven", "why"), Saying(12, "up")]
    assert untrue("a", said, [flow()], 14) == []


def test_down_without_a_reason_is_untrue() -> None:
    assert untrue("b", [Saying(0, "down")], [], 1) == ["b says down and not why"]
    assert untrue("b", [Saying(0, "down", "why")], [], 1) == []


def test_a_daemon_that_does_not_answer_says_nothing_untrue() -> None:
    assert untrue("a", [Saying(0, ""), Saying(99, "")], [flow()], 99) == []


def test_what_goes_on_is_named() -> None:
    assert still_flowing([flow(1.0, 2.0, 3.0)], 1.5, 4.0) == ["pc4 a>b goes on: 2"]
    assert still_flowing([flow(1.0)], 1.5, 4.0) == []


def test_a_flow_that_is_dead_is_named() -> None:
    since = time.monotonic() - HEALS - 5
    assert stalled([flow(since - 1)], since) == ["pc4 a>b does not flow"]


def test_a_flow_that_came_late_is_named() -> None:
    now = time.monotonic()
    begin = now - 1.0
    late = flow(*(begin + number / 20 for number in range(40)))
    (problem,) = stalled([late], begin - HEALS - 1)
    assert "flows after 3.0" in problem


def test_a_flow_in_time_is_in_order() -> None:
    begin = time.monotonic() - 1.0
    assert stalled([flow(*(begin + n / 20 for n in range(100)))], begin) == []


def test_waiting_ends() -> None:
    assert wait_for(lambda: True, 0.0)
    assert not wait_for(lambda: False, 0.1)
