"""A satellite link of the operator's own: elements, stations, clouds; its faults."""

from pathlib import Path
from typing import Any

import pytest
from doubles.kme_pair import KMEPair

from gateway.errors import KMEError, QuantumLinkError
from gateway.kme.constant import ConstantLink
from gateway.kme.control import ControlSocket, call
from gateway.kme.link import LinkState
from gateway.kme.load_space import MAX_NAME
from gateway.kme.models import make_model
from gateway.kme.peer_messages import MAX_TEXT
from gateway.kme.settings import End, LinkSettings
from gateway.kme.space_configured import satellite_link
from gateway.kme.space_link import SatelliteLink, SpaceStatus
from gateway.kme.space_settings import (
    OvercastSettings,
    SpaceSettings,
    StationSettings,
)
from gateway.planner.space.orbit import SYNTHETIC_EPOCH
from gateway.planner.space.times import DAY
from gateway.planner.space.tle import parse_tle
from tests.unit.planner.space.elements import FIRST, VANGUARD, resum

START = SYNTHETIC_EPOCH + 100.0
FAST: dict[str, float | str] = {"time_scale": 86_400.0, "weather_seed": 4.0}
"""A day a second."""

LOW_FIRST = resum(
    "1 99999U 26001A   26001.50000000  .00000000  00000-0  00000-0 0  9990"
)
LOW_SECOND = resum(
    "2 99999  97.4000 281.0000 0010000  90.0000 270.0000 15.21900000    00"
)
LOW = f"QUBE\n{LOW_FIRST}\n{LOW_SECOND}\n"
"""A low orbit of January 2026 that comes at midnight."""

ALWAYS_CLEAR = {
    "north": StationSettings(49.7, 6.3, 300.0, 1.0),
    "south": StationSettings(1.3, 103.8, 30.0, 1.0),
}
BOTH = ("north", "south")


def run(link: SatelliteLink, begin: float, seconds: int) -> int:
    """Let time run; return the secret bits that came."""
    return sum(
        block.secret_bits
        for tick in range(seconds * 4)
        for block in link.blocks_due(begin + tick / 4)
    )


def write(folder: Path, text: str) -> Path:
    path = folder / "sat.tle"
    path.write_text(text)
    return path


def test_elements_of_a_file(tmp_path: Path) -> None:
    tle = write(tmp_path, LOW)
    link = satellite_link(FAST, START, SpaceSettings(tle=tle))
    assert "QUBE over Luxembourg and Singapore" in link.status().description
    assert run(link, 0.0, 40) > 0


def test_one_of_several_satellites(tmp_path: Path) -> None:
    tle = write(tmp_path, VANGUARD + LOW)
    for name in ("QUBE", "qube"):
        link = satellite_link(FAST, START, SpaceSettings(tle, name))
        assert "QUBE" in link.status().description
    with pytest.raises(QuantumLinkError, match="2 satellites: VANGUARD 1, QUBE") as one:
        satellite_link(FAST, START, SpaceSettings(tle))
    assert "satellite = " in one.value.hint
    with pytest.raises(QuantumLinkError, match="no satellite 'MICIUS'"):
        satellite_link(FAST, START, SpaceSettings(tle, "MICIUS"))
    twice = write(tmp_path, LOW + LOW)
    with pytest.raises(QuantumLinkError, match="2 satellites called"):
        satellite_link(FAST, START, SpaceSettings(twice, "QUBE"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends before a TLE does"),
        (LOW.replace("97.4000", "97.5000"), "line 3 of the TLE: its checksum is"),
        (f"X\n{FIRST}\n{LOW_SECOND}\n", "another satellite's than line 1"),
        (
            f"X\n{LOW_FIRST}\n{resum(LOW_SECOND[:8] + '190.0000' + LOW_SECOND[16:])}\n",
            "inclination is 190",
        ),
        (VANGUARD, "days away from the time asked for"),
        ("\x00\xff" * 20, "no text of TLEs"),
    ],
)
def test_bad_elements_are_named(tmp_path: Path, text: str, message: str) -> None:
    tle = tmp_path / "sat.tle"
    tle.write_bytes(text.encode("latin-1"))
    settings = LinkSettings(
        End.ALICE, Path("seed"), "satellite", {"start": START}, SpaceSettings(tle)
    )
    with pytest.raises(KMEError) as caught:
        make_model(settings)
    assert message in caught.value.message


def test_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(QuantumLinkError, match=r"cannot read .*none\.tle"):
        satellite_link(FAST, START, SpaceSettings(tmp_path / "none.tle"))


def test_elements_are_too_old_two_months_later(tmp_path: Path) -> None:
    (orbit,) = parse_tle(LOW)
    link = satellite_link(FAST, START, SpaceSettings(write(tmp_path, LOW)))
    run(link, 0.0, 70)
    assert "days away" in link.status().alarm
    late = orbit.epoch + 61 * DAY
    with pytest.raises(QuantumLinkError, match="good for 60"):
        satellite_link(FAST, late, SpaceSettings(tmp_path / "sat.tle"))


def test_own_stations() -> None:
    space = SpaceSettings(stations=BOTH, own_stations=ALWAYS_CLEAR)
    link = satellite_link(FAST, START, space)
    assert "over north and south" in link.status().description
    bits = run(link, 0.0, 30)
    assert link.status().passes_clouded == 0
    assert bits > 10 * 600_000
    with pytest.raises(QuantumLinkError, match="no station 'mars'"):
        satellite_link(FAST, START, SpaceSettings(stations=("mars", "redu")))
    with pytest.raises(QuantumLinkError, match="latitude is 91"):
        satellite_link(
            FAST,
            START,
            SpaceSettings(
                stations=("x", "redu"), own_stations={"x": StationSettings(91, 0)}
            ),
        )
    with pytest.raises(QuantumLinkError, match="cannot share keys with itself"):
        satellite_link(FAST, START, SpaceSettings(stations=("redu", "redu")))


def test_a_shipped_name_may_be_the_operators_own() -> None:
    space = SpaceSettings(own_stations={"luxembourg": StationSettings(49.6, 6.1, 0, 0)})
    link = satellite_link(FAST, START, space)
    assert run(link, 0.0, 60) == 0  # never clear there, says the operator


def test_a_cloudy_week_that_was_configured() -> None:
    clear = SpaceSettings(stations=BOTH, own_stations=ALWAYS_CLEAR)
    for cloud in (
        OvercastSettings("south", 7.0, begin=START + 10 * DAY),
        OvercastSettings("south", 7.0, after_days=10.0),
    ):
        space = SpaceSettings(None, None, BOTH, ALWAYS_CLEAR, (cloud,))
        link, sunny = (satellite_link(FAST, START, each) for each in (space, clear))
        assert run(link, 0.0, 10) == run(sunny, 0.0, 10) > 0
        run(link, 10.0, 1)  # what waited for the south at the north
        assert run(link, 11.0, 6) == 0
        assert link.status().passes_clouded > 3
        run(sunny, 10.0, 7)
        assert run(link, 17.0, 10) > 0
    elsewhere = OvercastSettings("redu", 7.0, after_days=1.0)
    with pytest.raises(QuantumLinkError, match="clouds over 'redu'"):
        satellite_link(
            FAST, START, SpaceSettings(None, None, BOTH, ALWAYS_CLEAR, (elsewhere,))
        )


def own_link(**figures: float) -> SatelliteLink:
    space = SpaceSettings(stations=BOTH, own_stations=ALWAYS_CLEAR)
    return satellite_link({**FAST, **figures}, START, space)


def test_overcast_from_now_on() -> None:
    link = own_link()
    assert run(link, 0.0, 10) > 0
    link.overcast("SOUTH", 7.0)
    assert run(link, 10.0, 6) == 0
    status = link.status()
    assert status.state is LinkState.UP
    assert status.overcast == {"south": pytest.approx(START + 16.75 * DAY)}
    assert "overcast: south until 2026-01-17" in status.description
    clouded = status.passes_clouded
    assert clouded > 3
    assert run(link, 17.0, 10) > 0
    status = link.status()
    assert status.overcast == {}
    assert "overcast" not in status.description


def test_the_sky_clears_up_when_told() -> None:
    link = own_link()
    link.blocks_due(0.0)
    link.overcast("north", 300.0)
    link.overcast("south", 300.0)
    assert run(link, 0.0, 10) == 0
    link.overcast("north", 0.0)
    link.overcast("south", 0.0)
    assert link.status().overcast == {}
    assert run(link, 10.0, 10) > 0


def test_the_longest_description_can_be_told_to_the_other_end(tmp_path: Path) -> None:
    names = "a" * MAX_NAME, "b" * MAX_NAME
    own = dict(zip(names, ALWAYS_CLEAR.values(), strict=True))
    tle = write(tmp_path, LOW.replace("QUBE", "Q" * 24))
    figures = {**FAST, "time_scale": 99_999.9}
    link = satellite_link(
        figures, START, SpaceSettings(tle=tle, stations=names, own_stations=own)
    )
    for name in names:
        link.overcast(name, 3650.0)
    description = link.status().description
    assert description.count("overcast") == 2
    assert "next pass" in description
    assert len(description) < MAX_TEXT


@pytest.mark.parametrize(
    ("station", "days"),
    [("mars", 1.0), ("", 1.0), ("north", -1.0), ("north", 3651.0), ("north", 1e999)],
)
def test_clouds_that_cannot_be(station: str, days: float) -> None:
    link = own_link()
    with pytest.raises(QuantumLinkError):
        link.overcast(station, days)
    assert link.status().overcast == {}


def test_a_delivery_that_was_counted_is_refused_by_name() -> None:
    """Its bits are in keys that are used by now: given again they would serve twice."""
    link = own_link()
    link.blocks_due(0.0)
    coming: Any = link._coming  # the prediction, which is made to repeat itself
    again = coming[0]
    later = int((again.set - START) / DAY) + 1
    run(link, 0.0, later)
    before = link.status()
    assert before.passes_used > 0
    coming.appendleft(again)
    assert link.blocks_due(later - 0.25) == []  # no time has passed
    status = link.status()
    assert (status.passes_refused, status.passes_used) == (1, before.passes_used)
    assert status.waiting == before.waiting
    assert status.alarm == (
        f"a delivery is refused: a pass over {again.station.name} was counted before"
    )
    assert run(link, later, 10) > 0  # the passes after it count as ever


async def test_a_cloudy_week_by_the_control_socket(tmp_path: Path) -> None:
    link = own_link()
    path = tmp_path / "control.sock"
    async with KMEPair(tmp_path / "pair", model=link) as pair:
        control = ControlSocket(path, pair.bob)  # alice, who runs the model, is told
        await control.start()
        order = {"action": "overcast", "station": "south", "days": 7}
        await call(path, "POST", "link", order)
        status = pair.alice.core.link_status
        assert isinstance(status, SpaceStatus)
        assert set(status.overcast) == {"south"}
        for wrong, message in (
            ({**order, "station": "mars"}, "this link has no station 'mars'"),
            ({**order, "days": -1}, "cannot be overcast for -1 days"),
            ({**order, "days": "many"}, "days is no number"),
            ({**order, "days": True}, "days is no number"),
            ({**order, "days": float("nan")}, "days is no number"),
            ({**order, "station": 7}, "station is no text"),
            ({**order, "station": "x" * 300}, "station is no text"),
        ):
            with pytest.raises(KMEError) as caught:
                await call(path, "POST", "link", wrong)
            assert message in caught.value.message
        assert set(status.overcast) == {"south"}
        await control.stop()


async def test_a_fibre_has_no_sky(tmp_path: Path) -> None:
    async with KMEPair(tmp_path / "pair", model=ConstantLink(1.0)) as pair:
        with pytest.raises(KMEError, match="no sky over it"):
            await pair.alice.switch_link("overcast", "redu", 7.0)
        with pytest.raises(KMEError, match="no sky over it"):
            await pair.bob.switch_link("overcast", "redu", 7.0)
