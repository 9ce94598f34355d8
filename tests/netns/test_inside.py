"""What a test asks for inside a namespace, and what it gets back."""

import pytest
from lab.inside import made_inside
from lab.netns import Namespace


def test_what_is_raised_inside_is_raised_outside(
    pair: tuple[Namespace, Namespace],
) -> None:
    """A failed assertion keeps its words, and a skip stays a skip."""

    def fail() -> None:
        raise AssertionError("not restored")

    def skip() -> None:
        pytest.skip("no owners")

    with pytest.raises(AssertionError, match="not restored"):
        made_inside(pair[0].name, fail)
    with pytest.raises(pytest.skip.Exception, match="no owners"):
        made_inside(pair[0].name, skip)
    assert made_inside(pair[0].name, lambda: 5) == 5
