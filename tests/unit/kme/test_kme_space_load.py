"""What a KME's file says of a satellite: orbit, stations and clouds, each mistake."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.kme.load import load_settings
from gateway.kme.space_figures import PAIRS, SHIPPED_STATIONS
from gateway.kme.space_settings import (
    OvercastSettings,
    SpaceSettings,
    StationSettings,
)
from gateway.planner.space.stations import STATIONS, Station
from tests.unit.kme.test_kme_load import GOOD

LINK = '"link.seed"\nmodel = "satellite"\n'
OWN = """
[stations.betzdorf]
latitude = 49.69
longitude = 6.33
altitude = 300
clear_probability = 0.5
"""
CLOUD = '[[link.overcast]]\nstation = "singapore"\n'


def text(link: str, rest: str = "") -> str:
    """Put lines into ``[link]``, from line 13 on, and others after the end."""
    return GOOD.replace('"link.seed"\n', LINK + link + "\n", 1) + rest


def load(folder: Path, content: str) -> SpaceSettings:
    path = folder / "kme.toml"
    path.write_text(content)
    path.chmod(0o600)
    return load_settings(path).link.space


def test_nothing_said_is_the_shipped_orbit(tmp_path: Path) -> None:
    assert load(tmp_path, text("")) == SpaceSettings()


def test_everything_said(tmp_path: Path) -> None:
    lines = """
stations = ["betzdorf", "singapore"]
tle = "jinan.tle"
satellite = "JINAN-1"
overcast = [
  { station = "betzdorf", from = 2026-03-01, days = 7 },
  { station = "singapore", from = 2026-03-01T12:00:00+08:00, days = 0.5 },
  { station = "singapore", from = 2026-03-09T00:00:00, days = 1 },
  { station = "singapore", after_days = 2.5, days = 7 },
]
"""
    begin = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    assert load(tmp_path, text(lines, OWN)) == SpaceSettings(
        tle=tmp_path / "jinan.tle",
        satellite="JINAN-1",
        stations=("betzdorf", "singapore"),
        own_stations={"betzdorf": StationSettings(49.69, 6.33, 300.0, 0.5)},
        overcast=(
            OvercastSettings("betzdorf", 7.0, begin=begin),
            OvercastSettings("singapore", 0.5, begin=begin + 4 * 3600.0),
            OvercastSettings("singapore", 1.0, begin=begin + 8 * 86_400.0),
            OvercastSettings("singapore", 7.0, after_days=2.5),
        ),
    )


def test_tables_of_clouds_and_the_presets_stations(tmp_path: Path) -> None:
    cloud = CLOUD + "after_days = 0\ndays = 7\n"
    link = load(tmp_path, text('preset = "redu-singapore"', cloud))
    assert link.overcast == (OvercastSettings("singapore", 7.0, after_days=0.0),)
    assert link.stations is None


def test_shipped_names_are_those_of_the_stations() -> None:
    assert set(SHIPPED_STATIONS) == STATIONS.keys()
    assert {name for pair in PAIRS.values() for name in pair} <= STATIONS.keys()
    # Who writes no probability gets what a `Station` without one has.
    assert StationSettings(0.0, 0.0).clear_probability == (
        Station("x", 0.0, 0.0).clear_probability
    )


@pytest.mark.parametrize(
    ("link", "rest", "problem"),
    [
        ('stations = ["redu"]', "", "14: link.stations: 1"),
        ('stations = ["redu", "redu"]', "", "14: link.stations[1]"),
        ('stations = ["redu", "mars"]', "", "14: link.stations: 'mars'"),
        ('stations = "redu"', "", "14: link.stations: 'redu'"),
        (
            'stations = ["redu", "singapore"]\npreset = "redu-singapore"',
            "",
            "14: link.stations: both",
        ),
        ("tle = 5", "", "14: link.tle: 5"),
        ('satellite = "X"', "", "14: link.satellite: 'X'"),
        ('tle = "a.tle"\naltitude_km = 500', "", "15: link.altitude_km: one"),
        ("inclination = 98", "", "14: link.inclination"),
        ("overcast = 7", "", "14: link.overcast: 7"),
        ("overcast = [7]", "", "14: link.overcast[0]: 7"),
        ("", CLOUD, "link.overcast[0]: neither"),
        ("", CLOUD + "days = 7\n", "link.overcast[0]: neither"),
        ("", CLOUD + "after_days = 1\n", "link.overcast[0]: none"),
        (
            "",
            CLOUD + "days = 7\nafter_days = 1\nfrom = 2026-01-01\n",
            "link.overcast[0]: both",
        ),
        (
            "",
            CLOUD + "days = -7\nafter_days = 1\n",
            "link.overcast[0]: days = -7",
        ),
        (
            "",
            CLOUD + "days = inf\nafter_days = 1\n",
            "link.overcast[0]: days = inf",
        ),
        (
            "",
            CLOUD + 'days = 1\nfrom = "soon"\n',
            "link.overcast[0]: from = 'soon'",
        ),
        (
            "",
            CLOUD + "days = 1\nfrom = 9999-12-31T23:00:00-10:00\n",
            "link.overcast[0]: from = 9999",
        ),
        (
            "",
            CLOUD + "days = 1\nfrom = 0001-01-01T00:00:00\n",
            "link.overcast[0]: from = 0001",
        ),
        (
            "",
            CLOUD + "days = 1\nfrom = 2026-01-01\nrain = 2\n",
            "link.overcast[0]: 'rain'",
        ),
        (
            'preset = "redu-luxembourg"',
            CLOUD + "days = 1\nafter_days = 1\n",
            "link.overcast[0]: station = 'singapore'",
        ),
        ("", OWN.replace("49.69", "91"), ": stations.betzdorf.latitude: 91"),
        ("", OWN.replace("6.33", "nan"), ": stations.betzdorf.longitude: nan"),
        ("", OWN.replace("300", "9001"), ": stations.betzdorf.altitude: 9001"),
        ("", OWN.replace("0.5", "1.5"), "stations.betzdorf.clear_probability: 1.5"),
        ("", OWN.replace("latitude = 49.69", ""), "betzdorf.latitude: nothing"),
        ("", OWN + "hight = 3\n", "stations.betzdorf.hight: an unknown one"),
        ("", OWN.replace("betzdorf", "x" * 33), ": stations."),
    ],
)
def test_mistakes_of_a_satellite(
    tmp_path: Path, link: str, rest: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text(link, rest))
    found = [f"{each.line}: {each.key}: {each.found}" for each in caught.value.problems]
    assert len(found) == 1
    assert problem in found[0]
    assert not found[0].startswith("0:")


def test_a_fibre_has_no_stations_and_no_clouds(tmp_path: Path) -> None:
    lines = 'tle = "x"\nsatellite = "x"\nstations = []\novercast = []\n'
    fibre = text(lines, OWN).replace('"satellite"', '"fibre"')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, fibre)
    keys = {each.key for each in caught.value.problems}
    assert keys == {
        "link.tle",
        "link.satellite",
        "link.stations",
        "link.overcast",
        "stations",
    }


def test_everything_wrong_at_once(tmp_path: Path) -> None:
    lines = 'stations = ["redu", "mars"]\nsatellite = "x"\ntime_scale = -1\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text(lines, OWN.replace("49.69", "91")))
    assert len(caught.value.problems) == 4


def test_the_page_about_satellites_loads(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "satellite.md"
    section = page.read_text().partition("### An orbit, stations and weather")[2]
    shown = section.partition("    [link]\n")[2].partition("Shipped stations")[0]
    lines = "\n".join(line.strip() for line in shown.splitlines())
    link, mark, rest = lines.partition("[[link.overcast]]")
    assert 'model = "satellite"' in link
    space = load(
        tmp_path, text(link.replace('model = "satellite"\n', ""), "\n" + mark + rest)
    )
    assert space.tle == tmp_path / "carrier.tle"
    assert space.stations == ("betzdorf", "singapore")
    assert space.own_stations["betzdorf"].latitude == 49.69
    assert [cloud.days for cloud in space.overcast] == [7.0]
