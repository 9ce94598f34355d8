"""What the package computes for us, against published figures and plain physics."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import QuantumLinkError
from gateway.kme.physics import rate
from gateway.kme.physics.parameters import (
    FibreParameters,
    long_haul,
    metro,
    redu_luxembourg,
)
from gateway.kme.physics.rate import (
    alarm_qber,
    asymptotic_bits,
    intercepted,
    operation,
    secret_bits,
    zero_rate_qber,
)

REDU = redu_luxembourg()

GYS = FibreParameters(
    attenuation_db_per_km=0.21,
    extra_loss_db=0.0,
    receiver_loss_db=0.0,
    detector_efficiency=0.045,
    clock_rate=2e6,
    dark_count_rate=850.0,
    gate_width=1e-9,
    dead_time=0.0,
    afterpulse_probability=0.0,
    misalignment_error=0.033,
    signal_intensity=0.48,
    decoy_intensity=0.05,
    error_correction_efficiency=1.22,
    key_basis_probability=0.5,
)
"""The experiment of Gobby, Yuan and Shields (2004) with the decoy states of Ma, Qi,
Zhao and Lo, Phys. Rev. A 72, 012326 (2005), table 1 and section 3: Y0 = 1.7e-6 for two
detectors, mu = 0.48, nu = 0.05 and vacuum."""


def test_reach_is_the_one_published() -> None:
    # Figure 2 of the same paper: vacuum and weak decoy reach 140.55 km.
    low, high = 100.0, 200.0
    for _ in range(30):
        middle = (low + high) / 2
        if asymptotic_bits(replace(GYS, length_km=middle)) > 0.0:
            low = middle
        else:
            high = middle
    assert low == pytest.approx(140.55, abs=0.2)


@pytest.mark.parametrize(("efficiency", "best"), [(1.22, 0.48), (1.0, 0.54)])
def test_best_intensity_is_the_one_published(efficiency: float, best: float) -> None:
    # Section 3.1 of the same paper, for many decoys on a lossy fibre. Two of them, and
    # dark counts, move the optimum a little.
    link = replace(
        GYS,
        length_km=60.0,
        dark_count_rate=0.01,
        decoy_intensity=0.002,
        error_correction_efficiency=efficiency,
    )
    tried = [number / 100 for number in range(30, 80)]
    found = max(
        tried, key=lambda mu: asymptotic_bits(replace(link, signal_intensity=mu))
    )
    assert found == pytest.approx(best, abs=0.011)


def test_the_default_gives_what_modest_boxes_give() -> None:
    default = operation(REDU)
    assert 1_000 <= default.secret_rate <= 3_000
    assert 0.015 <= default.qber <= 0.03
    assert default.secret_rate == pytest.approx(
        default.secret_bits * default.sifted_rate / REDU.block_size, rel=1e-9
    )
    assert operation(long_haul()).secret_rate < 1_000
    assert operation(metro()).secret_rate > 5_000


def test_the_rate_falls_with_length_to_nothing() -> None:
    rates = [
        operation(replace(REDU, length_km=float(length))).secret_rate
        for length in range(0, 300, 10)
    ]
    reach = rates.index(0.0)
    assert 120 < reach * 10 < 200
    assert all(near > far for near, far in itertools.pairwise(rates[: reach + 1]))
    assert not any(rates[reach:])


def test_finite_blocks_cost_key_and_longer_ones_cost_less() -> None:
    sizes = (200_000, 500_000, 2_000_000, 20_000_000, 1_000_000_000)
    shares = [
        operation(replace(REDU, block_size=size)).secret_bits / size for size in sizes
    ]
    assert shares == sorted(shares)
    assert shares[0] < shares[2] / 2
    # With single photons and blocks without end it would be Shor and Preskill's.
    wrong = operation(REDU).qber
    entropy = -wrong * math.log2(wrong) - (1 - wrong) * math.log2(1 - wrong)
    assert shares[-1] < 1 - (1 + REDU.error_correction_efficiency) * entropy


def test_dead_time_saturates_the_detectors() -> None:
    quick = replace(REDU, dead_time=0.0)
    slow = replace(REDU, dead_time=100e-6)
    clicks = operation(quick).sifted_rate / REDU.key_basis_probability**2
    seen = operation(slow).sifted_rate / REDU.key_basis_probability**2
    assert seen == pytest.approx(clicks / (1 + clicks * 100e-6), rel=1e-9)
    near = replace(slow, length_km=0.0)
    assert operation(near).sifted_rate < 1e4  # one click each 100 us at the very most
    # It costs time, not bits.
    assert operation(slow).secret_bits == operation(quick).secret_bits
    assert operation(slow).qber == operation(quick).qber


@pytest.mark.parametrize("misalignment", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("dark", [10.0, 500.0, 20_000.0])
@pytest.mark.parametrize("length", [0.0, 80.0, 150.0])
def test_qber_is_misalignment_and_half_the_dark_counts(
    misalignment: float, dark: float, length: float
) -> None:
    link = replace(
        REDU,
        length_km=length,
        misalignment_error=misalignment,
        dark_count_rate=dark,
        afterpulse_probability=0.0,
    )
    # Ma et al., equations 10 and 11, weighed over the three intensities.
    transmittance = 10 ** (-(link.loss_db + 2.0) / 10) * 0.10
    silent = 1 - math.exp(-dark * 1e-9)
    background = 1 - (1 - silent) ** 2
    clicks = errors = 0.0
    for share, intensity in ((0.25, 0.42), (0.50, 0.21), (0.25, 0.0)):
        signal = 1 - math.exp(-transmittance * intensity)
        clicks += share * (background + signal - background * signal)
        errors += share * (0.5 * background + misalignment * signal)
    assert operation(link).qber == pytest.approx(errors / clicks, rel=0.002)


def test_afterpulses_are_errors_half_of_the_time() -> None:
    clean = operation(replace(REDU, afterpulse_probability=0.0))
    noisy = operation(replace(REDU, afterpulse_probability=0.04))
    assert noisy.qber - clean.qber == pytest.approx(0.02, rel=0.1)
    assert noisy.secret_rate < clean.secret_rate


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.4, 1.0])
def test_an_eavesdropper_adds_a_quarter_of_what_she_takes(fraction: float) -> None:
    quiet, tapped = operation(REDU), operation(REDU, fraction)
    assert tapped.qber - quiet.qber == pytest.approx(fraction / 4, rel=0.06)
    assert tapped.secret_bits < quiet.secret_bits
    assert tapped.sifted_rate == pytest.approx(quiet.sifted_rate)


def test_intercepted_is_the_error_of_two_stages() -> None:
    assert intercepted(0.03, 0.0) == 0.03
    assert intercepted(0.0, 1.0) == 0.25
    assert intercepted(0.5, 0.7) == 0.5
    # Wrong at one of the two stages and right at the other.
    assert intercepted(0.03, 0.4) == pytest.approx(0.03 * 0.9 + 0.97 * 0.1)


@pytest.mark.parametrize("link", [REDU, metro(), long_haul()])
def test_the_alarm_comes_before_the_rate_is_zero(link: FibreParameters) -> None:
    quiet, alarm, zero = operation(link).qber, alarm_qber(link), zero_rate_qber(link)
    assert quiet < alarm < zero < 0.11  # Shor and Preskill's limit for BB84
    assert secret_bits(link, alarm) > 0
    assert secret_bits(link, zero) == 0
    # No block of a quiet link comes near: 20 standard deviations.
    spread = math.sqrt(quiet / link.block_size)
    assert alarm - quiet > 20 * spread


def test_the_alarm_can_be_set_and_needs_no_key() -> None:
    assert alarm_qber(replace(REDU, alarm_qber=0.05)) == 0.05
    dark = replace(REDU, length_km=250.0)
    assert operation(dark).secret_bits == 0
    assert zero_rate_qber(dark) == operation(dark).qber
    assert operation(dark).qber < alarm_qber(dark) < 0.5


def test_a_block_gives_what_its_measured_qber_allows() -> None:
    usual = operation(REDU)
    assert secret_bits(REDU, usual.qber) == pytest.approx(usual.secret_bits, abs=2)
    given = [secret_bits(REDU, usual.qber + step * 0.001) for step in range(-3, 40)]
    assert given == sorted(given, reverse=True)
    assert given[-1] == 0


def test_a_link_of_dark_counts_alone_gives_a_coin() -> None:
    dark = replace(
        REDU,
        total_loss_db=100.0,
        receiver_loss_db=20.0,
        detector_efficiency=0.001,
        signal_intensity=0.01,
        decoy_intensity=0.002,
        dark_count_rate=1e7,
        gate_width=1e-8,
    )
    assert operation(dark).qber == pytest.approx(0.5)
    assert secret_bits(dark, 0.0) == 0
    assert 0.0 < alarm_qber(dark) <= 0.5


links = st.builds(
    FibreParameters,
    total_loss_db=st.none() | st.floats(0.0, 100.0),
    length_km=st.floats(0.0, 300.0),
    clock_rate=st.floats(1e4, 1e8),
    receiver_loss_db=st.floats(0.0, 20.0),
    detector_efficiency=st.floats(0.001, 1.0),
    dark_count_rate=st.floats(0.01, 1e7),
    gate_width=st.floats(1e-12, 1e-8),
    dead_time=st.floats(0.0, 1e-3),
    afterpulse_probability=st.floats(0.0, 0.2),
    misalignment_error=st.floats(0.0, 0.25),
    signal_intensity=st.floats(0.35, 2.0),
    decoy_intensity=st.floats(0.05, 0.25),
    weak_decoy_intensity=st.floats(0.0, 0.04),
    signal_probability=st.floats(0.05, 0.6),
    decoy_probability=st.floats(0.05, 0.3),
    key_basis_probability=st.floats(0.5, 0.99),
    error_correction_efficiency=st.floats(1.0, 2.0),
    secrecy=st.sampled_from([1e-30, 1e-10, 0.01]),
    block_size=st.integers(100_000, 1_000_000_000),
)


@given(link=links, fraction=st.floats(0.0, 1.0))
def test_any_link_stays_within_bounds(link: FibreParameters, fraction: float) -> None:
    quiet, tapped = operation(link), operation(link, fraction)
    for result in (quiet, tapped):
        assert 0.0 <= result.qber <= 0.5
        assert 0.0 < result.sifted_rate < link.clock_rate
        assert 0 <= result.secret_bits < link.block_size
        assert 0.0 <= result.secret_rate < result.sifted_rate
    assert tapped.secret_bits <= quiet.secret_bits
    assert tapped.qber >= quiet.qber - 1e-9
    # More than the repeaterless bound (Pirandola et al. 2017) cannot be had.
    transmittance = 10 ** (-link.loss_db / 10)
    if transmittance < 1.0:
        most = -math.log2(1.0 - transmittance) * link.clock_rate
        assert quiet.secret_rate <= most
    assert 0.0 < alarm_qber(link) <= 0.5
    assert 0.0 < zero_rate_qber(link) <= 0.5


@pytest.fixture
def forgetful() -> Iterator[None]:
    rate._package.cache_clear()
    operation.cache_clear()
    yield
    rate._package.cache_clear()


def test_without_the_package_the_error_says_what_to_install(
    forgetful: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("gateway.kme.physics.rate.importlib.import_module", refuse)
    with pytest.raises(QuantumLinkError, match="No module named 'qkd'") as caught:
        operation(REDU)
    assert "qkd-gateway[kme]" in caught.value.hint
