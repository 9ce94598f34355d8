import pytest

from gateway.errors import QuantumLinkError
from gateway.kme.physics.configured import fibre_link
from gateway.kme.physics.draws import SeededDraws
from gateway.kme.physics.parameters import metro, redu_luxembourg
from gateway.kme.physics.rate import operation


def test_without_figures_it_is_redu_luxembourg() -> None:
    status = fibre_link({}, SeededDraws(b"")).status()
    assert (status.length_km, status.time_scale) == (80.0, 1.0)
    assert status.secret_rate == operation(redu_luxembourg()).secret_rate


def test_figures_change_the_preset_named() -> None:
    figures: dict[str, float | str] = {
        "preset": "metro",
        "extra_loss_db": 5,
        "time_scale": 60,
        "block_size": 1e6,
    }
    status = fibre_link(figures, SeededDraws(b"")).status()
    assert (status.length_km, status.time_scale) == (25.0, 60.0)
    assert status.loss_db == pytest.approx(metro().loss_db + 3.0)
    plain = fibre_link({"preset": "metro"}, SeededDraws(b"")).status()
    assert plain.secret_rate == operation(metro()).secret_rate


def test_every_wrong_name_is_told_at_once() -> None:
    figures: dict[str, float | str] = {
        "preset": "moon",
        "lenght_km": 3.0,
        "x": 1.0,
        "dead_time": "long",
    }
    with pytest.raises(QuantumLinkError) as caught:
        fibre_link(figures, SeededDraws(b""))
    for part in (
        "preset is moon, not redu-luxembourg or metro or long-haul",
        "lenght_km is not known, perhaps length_km is meant",
        "x is not known",
        "dead_time is not a number",
    ):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("figures", "problem"),
    [
        ({"length_km": True}, "not a number"),
        ({"length_km": -1}, "length_km is -1"),
        ({"block_size": 200_000.5}, "not a whole number"),
        ({"block_size": float("nan")}, "block_size is nan"),
        ({"time_scale": 0}, "0 times as fast"),
    ],
)
def test_figures_that_cannot_be_are_refused(
    figures: dict[str, float], problem: str
) -> None:
    with pytest.raises(QuantumLinkError, match=problem):
        fibre_link(figures, SeededDraws(b""))
