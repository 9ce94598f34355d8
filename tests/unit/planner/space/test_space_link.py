"""The satellite link of our KME."""

from pathlib import Path

import pytest
from doubles.kme_pair import KMEPair

from gateway.errors import KMEError, QuantumLinkError
from gateway.kme.laboratory import Site, make_laboratory
from gateway.kme.link import Block, LinkModel, LinkState
from gateway.kme.load import load_settings
from gateway.kme.models import make_model, parameters_of, presets_of
from gateway.kme.settings import End, LinkSettings
from gateway.kme.space_configured import DEFAULTS, satellite_link
from gateway.kme.space_figures import FIGURES, PAIRS
from gateway.kme.space_link import MAX_TIME_SCALE, SatelliteLink
from gateway.planner.space.orbit import synthetic_orbit
from gateway.planner.space.passes import passes
from gateway.planner.space.stations import LUXEMBOURG, SINGAPORE
from gateway.planner.space.trusted import deliveries
from gateway.planner.space.weather import Weather

START = synthetic_orbit().epoch + 100.0
FAST = {"time_scale": 86_400.0, "weather_seed": 4.0}
"""A day a second."""


def run(link: LinkModel, begin: float, seconds: int) -> list[Block]:
    return [b for tick in range(seconds * 4) for b in link.blocks_due(begin + tick / 4)]


def test_blocks_are_the_deliveries_of_the_passes() -> None:
    """The same as computed at once, over the seams of ten days as well."""
    blocks = run(satellite_link(FAST, START), 1000.0, 60)
    end = START + 59.75 * 86_400.0
    orbit = synthetic_orbit()
    expected = list(
        deliveries(
            passes(orbit, LUXEMBOURG, START, end),
            passes(orbit, SINGAPORE, START, end),
            Weather(b"4.0"),
        )
    )
    # The grid differs, so that rise and set do by microseconds, and bits by one.
    got = [block.secret_bits for block in blocks]
    assert got == pytest.approx([each.bits for each in expected], abs=3)
    times = [(block.time - 1000.0) * 86_400.0 + START for block in blocks]
    assert times == pytest.approx([each.time for each in expected], abs=0.01)
    assert blocks


def test_nothing_comes_before_both_stations_had_a_pass() -> None:
    link = satellite_link({}, START)
    assert link.blocks_due(5.0) == link.blocks_due(60.0) == []
    status = link.status()
    assert status.state is LinkState.UP
    assert status.next_pass is not None
    assert "NOT quantum keys" in status.description
    assert f"next pass: {status.next_pass.station.name} 2026-01-0" in status.description
    assert len(status.description) < 256


def test_switched_off_and_listened_to() -> None:
    link = satellite_link(FAST, START)
    link.down()
    assert run(link, 0.0, 20) == []
    assert link.status().state is LinkState.DOWN
    assert link.status().passes_used == 0
    link.up()
    link.eavesdrop(True)
    blocks = run(link, 20.0, 30)
    assert blocks
    assert {block.secret_bits for block in blocks} == {0}
    assert link.status().state is LinkState.EAVESDROPPED
    assert link.status().secret_rate == 0.0
    link.eavesdrop(False)
    assert sum(block.secret_bits for block in run(link, 50.0, 50)) > 0
    assert link.status().state is LinkState.UP
    assert link.status().secret_rate > 0.0


def test_elements_that_grow_old_stop_it_by_name() -> None:
    nine_years = START + 3640 * 86_400.0
    link = satellite_link(FAST, nine_years)
    run(link, 0.0, 40)
    assert "days away" in link.status().alarm
    assert "no pass in sight" in link.status().description


def test_models_by_name() -> None:
    assert parameters_of("satellite") == FIGURES == frozenset(DEFAULTS)
    assert presets_of("satellite") == tuple(PAIRS)
    link = make_model(
        LinkSettings(End.ALICE, Path("seed"), "satellite", {"preset": "redu-singapore"})
    )
    assert isinstance(link, SatelliteLink)
    assert "Redu and Singapore" in link.status().description
    with pytest.raises(KMEError):
        make_model(
            LinkSettings(End.ALICE, Path("seed"), "satellite", {"min_elevation": 90.0})
        )


@pytest.mark.parametrize(
    "figures",
    [
        {"preset": "mars"},
        {"inclination": 1.0},
        {"altitude_km": "high"},
        {"altitude_km": 100.0},
        {"time_scale": 0.0},
        {"time_scale": MAX_TIME_SCALE * 1.01},
        {"sun_depression": 91.0},
        {"least_bits": 2e6},
        {"start": 1e12},
    ],
)
def test_figures_that_cannot_be(figures: dict[str, float | str]) -> None:
    with pytest.raises(QuantumLinkError):
        satellite_link(figures, START)


async def test_a_pass_fills_both_pools(tmp_path: Path) -> None:
    """Whole keys of what the passes gave, at both ends of a real pair of KMEs."""
    link = satellite_link(FAST, START)
    twin = satellite_link(FAST, START)
    # The feed's own clock is far behind, and moves nothing.
    assert link.blocks_due(1e9) == twin.blocks_due(1e9) == []
    async with KMEPair(tmp_path / "pair", model=link) as pair:
        for tick in range(60):
            await pair.alice.feed.step(1e9 + tick)
        bits = sum(
            block.secret_bits
            for tick in range(60)
            for block in twin.blocks_due(1e9 + tick)
        )
        assert bits > 0
        made = pair.alice.core.marks.made
        assert sum(made) == bits // 256
        assert pair.bob.core.marks.made == made


def test_the_lines_of_the_documentation_load(tmp_path: Path) -> None:
    site = Site("kme-a", "127.0.0.1", 8443, ["gw-a"])
    other = Site("kme-b", "127.0.0.1", 8444, ["gw-b"])
    page = Path(__file__).parents[4] / "docs" / "satellite.md"
    lines = page.read_text().partition("    [link]\n")[2].partition("\n\n")[0]
    shown = [line.strip() for line in lines.splitlines()]
    own = [line for line in shown if not line.startswith(("end", "seed_file"))]
    files = make_laboratory(tmp_path / "lab", site, other, link_lines=own, local=True)
    link = load_settings(files[End.ALICE].config).link
    assert link.model == "satellite"
    assert link.parameters == {"preset": "luxembourg-singapore", "time_scale": 10_000.0}
    assert isinstance(make_model(link), SatelliteLink)


def test_a_sky_without_passes_says_so_and_does_not_hang() -> None:
    link = satellite_link({**FAST, "min_elevation": 89.99}, START)
    for tick in range(20):
        link.blocks_due(tick / 10)
    assert "no pass in sight" in link.status().description
