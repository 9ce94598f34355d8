"""Steps drawn from a seed, and the table of kinds."""

from tests.meddle.kind import ALL_KINDS, ESP, WIREGUARD
from tests.meddle.kinds.table import OFF
from tests.meddle.runner import Step, draw_steps

ENOUGH = 40
"""Kinds of interference that there must be, on every plane."""


def described(steps: list[Step]) -> list[tuple[str, str, int]]:
    return [(step.kind.name, step.letter, step.seed) for step in steps]


def test_a_seed_gives_the_same_steps_again() -> None:
    kinds = list(ALL_KINDS.values())
    assert described(draw_steps(kinds, 250, 7)) == described(draw_steps(kinds, 250, 7))
    assert described(draw_steps(kinds, 50, 7)) != described(draw_steps(kinds, 50, 8))


def test_every_kind_comes_before_any_comes_again() -> None:
    kinds = list(ALL_KINDS.values())
    steps = draw_steps(kinds, len(kinds) + 3, 7)
    assert {step.kind.name for step in steps[: len(kinds)]} == set(ALL_KINDS)
    assert [step.number for step in steps] == list(range(1, len(kinds) + 4))
    assert {step.letter for step in steps} == {"a", "b"}


def test_there_are_enough_kinds_for_every_plane() -> None:
    for plane in (*ESP, *WIREGUARD):
        fitting = [
            kind
            for kind in ALL_KINDS.values()
            if not kind.needs and (not kind.planes or plane in kind.planes)
        ]
        assert len(fitting) >= ENOUGH, plane


def test_only_kinds_that_exist_are_switched_off_and_for_a_reason() -> None:
    assert set(OFF) <= set(ALL_KINDS)
    assert all(OFF.values())


def test_every_kind_says_what_it_does() -> None:
    assert all(kind.play.__doc__ for kind in ALL_KINDS.values())
