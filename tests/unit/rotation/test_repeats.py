"""Equal lines are logged once, and then with a count at growing pauses."""

from gateway.host.repeats import FIRST_REPEAT, MANY, Repeats, times


def test_an_hour_of_equal_lines_makes_a_handful() -> None:
    repeats = Repeats()
    counts = [repeats.note("it fails", now=n / 4) for n in range(4 * 3600)]
    said = [count for count in counts if count]
    assert said[0] == counts[0] == 1
    assert len(said) <= 9
    assert said == sorted(said)
    assert sum(said) <= len(counts)
    assert counts[: int(4 * FIRST_REPEAT)] == [1] + [0] * int(4 * FIRST_REPEAT - 1)
    assert said[1] == 4 * FIRST_REPEAT


def test_different_lines_do_not_hide_each_other() -> None:
    repeats = Repeats()
    for n in range(3 * MANY):
        assert repeats.note(f"line {n}", now=1.0) == 1
    assert repeats.note(f"line {3 * MANY - 1}", now=2.0) == 0
    assert len(repeats._paces) == MANY


def test_a_line_that_comes_back_later_is_new() -> None:
    repeats = Repeats()
    repeats.note("it fails", now=0.0)
    assert repeats.note("it fails", now=1000.0) == 1


def test_times() -> None:
    assert times(1) == ""
    assert times(165) == " (165 times)"
