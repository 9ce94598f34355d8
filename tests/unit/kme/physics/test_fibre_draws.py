import hashlib
import statistics
import struct

from gateway.kme.physics.draws import SeededDraws, error_count, exponential, normal


class Fixed:
    """Draws the same number each time."""

    def __init__(self, number: float) -> None:
        self._number = number

    def uniform(self) -> float:
        return self._number


def test_draws_are_what_the_docstring_says() -> None:
    drawn = SeededDraws(b"seed")
    for count in range(3):
        start = b"qgw simulated fibre draws v1 seed" + struct.pack(">Q", count)
        number = int.from_bytes(hashlib.sha256(start).digest()[:8], "big") >> 11
        assert drawn.uniform() == (number + 0.5) / 2**53


def test_draws_are_even_and_never_at_the_ends() -> None:
    drawn = SeededDraws(b"even")
    numbers = [drawn.uniform() for _ in range(20_000)]
    assert 0.0 < min(numbers) < 0.001
    assert 0.999 < max(numbers) < 1.0
    assert abs(statistics.fmean(numbers) - 0.5) < 0.01
    assert abs(statistics.pvariance(numbers) - 1 / 12) < 0.002
    assert SeededDraws(b"odd").uniform() != numbers[0]


def test_normal_and_exponential_have_the_moments_asked_for() -> None:
    drawn = SeededDraws(b"moments")
    bell = [normal(drawn, 7.0, 2.0) for _ in range(20_000)]
    assert abs(statistics.fmean(bell) - 7.0) < 0.06
    assert abs(statistics.pstdev(bell) - 2.0) < 0.05
    waits = [exponential(drawn, 30.0) for _ in range(20_000)]
    assert min(waits) > 0.0
    assert abs(statistics.fmean(waits) - 30.0) < 1.0
    assert abs(statistics.pstdev(waits) - 30.0) < 1.2


def test_errors_are_binomial_and_stay_between_none_and_half() -> None:
    drawn = SeededDraws(b"errors")
    counts = [error_count(drawn, 1_000_000, 0.02) for _ in range(4_000)]
    assert abs(statistics.fmean(counts) - 20_000) < 12
    assert abs(statistics.pstdev(counts) - 140.0) < 6.0
    assert error_count(Fixed(1e-12), 100_000, 1e-6) == 0
    assert error_count(Fixed(1.0 - 1e-12), 100_000, 0.5) == 50_000
    assert error_count(Fixed(0.5), 100_000, 0.0) == 0
