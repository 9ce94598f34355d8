"""Medians, targets, and what a run's JSON promises."""

import json

import pytest
from benches.figures import (
    Figure,
    quartile_distance,
    render_json,
    render_notes,
    render_table,
    summarise,
)


def test_median_and_quartile_distance() -> None:
    figure = summarise("x", "ms", [5.0, 1.0, 2.0, 4.0, 3.0], target=3.0)
    assert figure.value == 3.0
    assert figure.spread == 2.0
    assert figure.met is True


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [(1.0, 1.0, True), (1.001, 1.0, False), (None, 1.0, None), (1.0, None, None)],
)
def test_met(value: float | None, target: float | None, met: bool | None) -> None:
    assert Figure("x", value, "ms", target=target).met is met


def test_no_sample_is_no_value() -> None:
    figure = summarise("x", "ms", [], target=1.0)
    assert figure.value is None
    assert figure.met is None
    assert figure.note


def test_one_sample_has_no_spread() -> None:
    assert quartile_distance([1.0]) is None


def test_json_has_the_promised_keys_and_no_others() -> None:
    figures = [Figure("a", 1.23456789, "ms", 0.1, 2.0, "how"), Figure("b", None, "s")]
    document = json.loads(render_json(figures, {"processors": 2}))
    assert document["figures"] == [
        {
            "name": "a",
            "value": 1.23457,
            "unit": "ms",
            "spread": 0.1,
            "target": 2.0,
            "met": True,
        },
        {
            "name": "b",
            "value": None,
            "unit": "s",
            "spread": None,
            "target": None,
            "met": None,
        },
    ]
    assert document["notes"] == {"a": "how"}


def test_table_says_what_missed_and_what_was_not_measured() -> None:
    lines = render_table(
        [
            Figure("good", 1.0, "ms", target=2.0),
            Figure("bad", 3.0, "ms", target=2.0),
            Figure("none", None, "ms", target=2.0),
        ]
    ).splitlines()
    assert lines[1].endswith("met")
    assert lines[2].endswith("MISSED")
    assert "not measured" in lines[3]


def test_notes_say_each_text_once() -> None:
    text = render_notes([Figure("a", 1, "s", note="n"), Figure("b", 1, "s", note="n")])
    assert text == "a, b:\n    n"


def test_a_rate_must_reach_its_target() -> None:
    slow, fast = (
        Figure("rate", value, "1/s", None, 1000.0, more_is_better=True)
        for value in (999.0, 1000.0)
    )
    assert (slow.met, fast.met) == (False, True)
    assert ">= 1000" in render_table([slow])
