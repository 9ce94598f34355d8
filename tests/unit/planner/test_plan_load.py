"""Plan files: every problem at once, with file and line."""

from pathlib import Path

import pytest

from gateway.config.model import QKDPolicy
from gateway.errors import ConfigError
from gateway.planner.load import load_plan
from gateway.planner.model import RateLink, SpaceLink
from gateway.planner.space.stations import SINGAPORE
from gateway.planner.space.weather import Overcast
from gateway.planner.supply import predict_passes
from tests.unit.planner.examples import SMALL, START, example, write
from tests.unit.planner.space.elements import VANGUARD, resum


def problems(file: Path, start: float = START) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_plan(file, start)
    assert str(file) in caught.value.hint
    return [
        f"{each.line}: {each.key}: expected {each.expected}, found {each.found}"
        for each in caught.value.problems
    ]


def test_the_example_is_what_its_comments_say() -> None:
    plan = example()
    fibre, space = plan.links["fibre"], plan.links["satellite"]
    assert isinstance(fibre, RateLink)
    assert fibre.rate == 2663.0
    assert isinstance(space, SpaceLink)
    assert [each.name for each in space.stations] == ["Luxembourg", "Singapore"]
    assert space.sun_below == -12.0
    assert space.model.min_elevation == 20.0
    assert (space.model.least, space.model.most) == (600_000.0, 1_100_000.0)
    assert space.capacity == 100_000
    tunnel = plan.tunnels["redu-sin"]
    assert tunnel.links == ("fibre", "satellite")
    assert (tunnel.interval, tunnel.every, tunnel.batch) == (120.0, 1, 64)
    assert tunnel.qkd is QKDPolicy.REQUIRED
    assert (plan.probability, plan.draws, plan.seed) == (0.95, 2000, 0)


def test_stations_of_ones_own_and_other_odds(tmp_path: Path) -> None:
    text = SMALL.replace('"singapore"', '"perth"') + (
        "[stations.luxembourg]\nclear_probability = 0.9\n"
        "[stations.perth]\nlatitude = -32\nlongitude = 115.9\nclear_probability = 0.6\n"
    )
    link = load_plan(write(tmp_path, text), START).links["space"]
    assert isinstance(link, SpaceLink)
    lux, perth = link.stations
    assert (lux.latitude, lux.clear_probability) == (49.6117, 0.9)
    assert (perth.name, perth.longitude, perth.clear_probability) == (
        "perth",
        115.9,
        0.6,
    )
    assert SINGAPORE.clear_probability == 0.30


def test_clouds_that_are_foretold(tmp_path: Path) -> None:
    text = SMALL + (
        "[[stations.singapore.overcast]]\nfrom = 2026-11-01\ndays = 2\n"
        "[[stations.singapore.overcast]]\n"
        "from = 2026-11-05T08:00:00+08:00\ndays = 0.5\n"
    )
    plan = load_plan(write(tmp_path, text), START)
    assert plan.overcast == (
        Overcast("Singapore", START, START + 2 * 86_400.0),
        Overcast("Singapore", START + 4 * 86_400.0, START + 4.5 * 86_400.0),
    )
    assert plan.links["space"].stations[1] == SINGAPORE  # type: ignore[union-attr]  # it is
    passes = predict_passes(plan)["space"]
    assert {
        (each.flight.station.name, each.probability, each.expected_bits > 0)
        for each in passes
    } >= {("Singapore", 0.0, False), ("Luxembourg", 0.35, True)}


@pytest.mark.parametrize(
    "spell",
    [
        "3",
        "{from = 2026-11-01}",
        "{from = 12, days = 1}",
        "{from = 1926-11-01, days = 1}",
        "{from = 2026-11-01, days = -1}",
        "{from = 2026-11-01, days = 1, nights = 2}",
    ],
)
def test_clouds_that_cannot_be(tmp_path: Path, spell: str) -> None:
    text = SMALL + f"[stations.singapore]\novercast = [{spell}]\n"
    (found,) = problems(write(tmp_path, text))
    assert found.startswith("20: stations.singapore.overcast[0]: expected ")


def test_a_satellite_from_a_tle_file(tmp_path: Path) -> None:
    (tmp_path / "old.tle").write_text(VANGUARD)
    text = SMALL + '[satellites.v]\ntle = "old.tle"\n'
    file = write(tmp_path, text.replace("stock = 2000", 'satellite = "v"'))
    link = load_plan(file, 962_150_400.0).links["space"]  # 2000-06-28
    assert isinstance(link, SpaceLink)
    assert link.orbit.name == "VANGUARD 1"
    (found,) = problems(file)
    assert "satellites.v.tle: expected elements good for every day asked for" in found
    assert "days away from the time asked for" in found


BAD = """\
[plan]
days = 0
probability = 1.0
draws = 7
sede = 1
[stations.atlantis]
latitude = 91
[stations.Mars]
[satellites.one]
tle = "missing.tle"
[satellites.two]
tle = "bad.tle"
[satellites.three]
altitude_km = 100
name = "x"
[links.a]
kind = "satellite"
stations = ["atlantis", "ys"]
satellite = "four"
least_bits = 2e6
stock = -1
[links.b]
kind = "wormhole"
[links.c]
kind = "rate"
stock = 10
capacity = 5
[links.d]
kind = "satellite"
stations = ["redu"]
by_day = true
sun_depression = 6
[links.e]
kind = "rate"
rate = nan
stations = ["redu", "singapore"]
[tunnels.t]
links = ["c", "z"]
rotation_interval = 1
qkd_every = 0
[tunnels.u]
qkd = "maybe"
batch = 500
[tunnels.v]
links = ["c", "c"]
[tunnels.w]
links = ["c"]
batch = 8
[spare]
"""


def test_every_problem_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.tle").write_text(VANGUARD.replace("34.2682", "34.2683"))
    found = problems(write(tmp_path, BAD))
    lines = BAD.splitlines()
    places = [
        (lines[int(each.split(":")[0]) - 1].split(" ")[0], each.split(": ")[1])
        for each in found
    ]
    assert places == [
        ("days", "plan.days"),
        ("probability", "plan.probability"),
        ("draws", "plan.draws"),
        ("sede", "plan.sede"),
        ("[stations.atlantis]", "stations.atlantis.longitude"),
        ("[stations.atlantis]", "stations.atlantis.clear_probability"),
        ("latitude", "stations.atlantis.latitude"),
        ("[stations.Mars]", "stations.Mars"),
        ("tle", "satellites.one.tle"),
        ("tle", "satellites.two.tle"),
        ("altitude_km", "satellites.three.altitude_km"),
        ("name", "satellites.three.name"),
        ("stations", "links.a.stations[1]"),
        ("satellite", "links.a.satellite"),
        ("least_bits", "links.a.least_bits"),
        ("stock", "links.a.stock"),
        ("kind", "links.b.kind"),
        ("[links.c]", "links.c.rate"),
        ("stock", "links.c.stock"),
        ("stations", "links.d.stations"),
        ("sun_depression", "links.d.sun_depression"),
        ("rate", "links.e.rate"),
        ("stations", "links.e.stations"),
        ("links", "tunnels.t.links[1]"),
        ("rotation_interval", "tunnels.t.rotation_interval"),
        ("qkd_every", "tunnels.t.qkd_every"),
        ("[tunnels.u]", "tunnels.u.links"),
        ("qkd", "tunnels.u.qkd"),
        ("batch", "tunnels.u.batch"),
        ("links", "tunnels.v.links[1]"),
        ("batch", "tunnels.w.batch"),
        ("[spare]", "spare"),
    ]
    text = "\n".join(found)
    assert "cannot read" in text
    assert "its checksum is" in text
    assert "a known link (a, b, c, d, e)" in text
    assert "did you mean seed?" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["a link, [links.NAME]", "a tunnel, [tunnels.NAME]"]),
        ("[links]\nx = 1\n[tunnels]\ny = 2\n", ["a table [links.x]"]),
        ("links = 3\n", ["a table [links]"]),
        ("[plan\n", ["valid TOML"]),
    ],
)
def test_no_plan_at_all(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = "\n".join(problems(write(tmp_path, text)))
    for each in expected:
        assert f"expected {each}" in found


def test_which_satellite_of_a_file(tmp_path: Path) -> None:
    second = VANGUARD.replace("VANGUARD 1", "VANGUARD 2")
    (tmp_path / "two.tle").write_text(VANGUARD + second)
    text = SMALL + '[satellites.v]\ntle = "two.tle"\n'
    (found,) = problems(write(tmp_path, text))
    assert "satellites.v.name" in found
    assert found.endswith("found 2 of them")
    load_plan(write(tmp_path, text + 'name = "VANGUARD 2"\n'), START)
    (found,) = problems(write(tmp_path, text + 'name = "VANGUARD 3"\n'))
    assert found.endswith("found 0 of them")


def test_elements_that_lead_into_the_ground(tmp_path: Path) -> None:
    first, second = VANGUARD.splitlines()[1:]
    first = resum(first.replace(" 28098-4", " 99999+0"))
    second = resum(second[:52] + "16.90000000" + second[63:])
    (tmp_path / "low.tle").write_text(f"{first}\n{second}\n")
    text = SMALL + '[satellites.v]\ntle = "low.tle"\n'
    file = write(tmp_path, text.replace("stock = 2000", 'satellite = "v"'))
    (found,) = problems(file, 962_150_400.0)
    assert "satellites.v.tle" in found


@pytest.mark.parametrize("start", [-1e12, 4e9, 1e300])
def test_a_time_that_nothing_is_known_of(tmp_path: Path, start: float) -> None:
    (found,) = problems(write(tmp_path), start)
    assert "links.space.satellite" in found
