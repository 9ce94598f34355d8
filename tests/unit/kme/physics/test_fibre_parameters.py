import math
from dataclasses import fields, replace

import pytest

from gateway.errors import QuantumLinkError
from gateway.kme.physics.parameters import PRESETS, RANGES, FibreParameters


def test_every_figure_has_a_range_and_both_ends_of_it_are_checked() -> None:
    assert {field.name for field in fields(FibreParameters)} == set(RANGES)
    for name, (low, high) in RANGES.items():
        for value in (low - abs(low) * 0.1 - 1e-31, high * 1.1):
            with pytest.raises(QuantumLinkError, match=f"{name} is "):
                FibreParameters(**{name: value})  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize("name", sorted(RANGES))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_figure_is_infinite_or_nothing(name: str, value: float) -> None:
    with pytest.raises(QuantumLinkError, match=f"{name} is "):
        FibreParameters(**{name: value})  # type: ignore[arg-type]  # any field


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(QuantumLinkError) as caught:
        FibreParameters(
            length_km=-1.0, detector_efficiency=1.5, decoy_intensity=0.5, gate_width=1.0
        )
    for part in (
        "length_km is -1",
        "detector_efficiency is 1.5",
        "gate_width is 1,",
        "decoys' intensities are not below",
    ):
        assert part in caught.value.message
    assert "simulated-link.md" in caught.value.hint


@pytest.mark.parametrize(
    ("figures", "problem"),
    [
        ({"length_km": 480.0}, "the loss is 102.8 dB"),
        ({"gate_width": 1.1e-8}, "longer than from one pulse"),
        ({"dark_count_rate": 1e7, "gate_width": 1e-8 + 1e-12}, "tenth of the gates"),
        ({"decoy_intensity": 0.1, "weak_decoy_intensity": 0.1}, "not below decoy"),
        ({"decoy_intensity": 0.3, "weak_decoy_intensity": 0.12}, "decoys' intensities"),
        ({"signal_probability": 0.5, "decoy_probability": 0.5}, "leave no rest"),
        ({"block_size": 200_000.5}, "not a whole number"),
    ],
)
def test_contradictions_are_refused(figures: dict[str, float], problem: str) -> None:
    with pytest.raises(QuantumLinkError, match=problem):
        FibreParameters(**figures)  # type: ignore[arg-type]  # any field


def test_loss_is_that_of_the_parts_or_as_measured() -> None:
    parts = FibreParameters(
        length_km=50.0, attenuation_db_per_km=0.2, extra_loss_db=1.5
    )
    assert parts.loss_db == pytest.approx(11.5)
    assert "50 km, 11.5 dB" in parts.summary
    measured = replace(parts, total_loss_db=14.0)
    assert measured.loss_db == 14.0
    assert "km" not in measured.summary


def test_presets_are_the_same_boxes_on_other_fibres() -> None:
    lengths = {name: make().length_km for name, make in PRESETS.items()}
    assert lengths == {"redu-luxembourg": 80.0, "metro": 25.0, "long-haul": 120.0}
    for make in PRESETS.values():
        assert replace(make(), length_km=80.0) == FibreParameters()
