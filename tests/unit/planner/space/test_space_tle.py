"""Two-line elements: good ones, and every way to be bad."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.tle import MAX_FILE, load_tle, parse_tle
from tests.unit.planner.space.elements import FIRST, SECOND, VANGUARD, resum


def test_names_and_more_than_one() -> None:
    orbits = parse_tle(f"{VANGUARD}\n{FIRST}\r\n{SECOND}\r\n0 OTHER\n{FIRST}\n{SECOND}")
    names = [orbit.name for orbit in orbits]
    assert names == ["VANGUARD 1", "satellite 00005", "OTHER"]
    assert orbits[0].inclination == pytest.approx(34.2682)
    assert orbits[0].epoch == pytest.approx(962_131_819.733568, abs=1e-3)


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (FIRST[:-1] + "4", SECOND, OrbitFault.CHECKSUM),
        (FIRST, SECOND[:-1] + "x", OrbitFault.CHECKSUM),
        (FIRST, SECOND.replace("34.2682", "34.2683"), OrbitFault.CHECKSUM),
        (FIRST[:-2], SECOND, OrbitFault.FORMAT),
        (FIRST, SECOND + "1", OrbitFault.FORMAT),
        (FIRST, FIRST, OrbitFault.FORMAT),
        (SECOND, FIRST, OrbitFault.FORMAT),
        (FIRST, resum(SECOND.replace("00005", "00006")), OrbitFault.FORMAT),
        (FIRST, resum(SECOND.replace("34.2682", "34x2682")), OrbitFault.FORMAT),
        (FIRST, resum(SECOND.replace(" 34.2682", "1 4.2682")), OrbitFault.FORMAT),
        (FIRST, resum(SECOND.replace(" 34.2682", "180.0001")), OrbitFault.RANGE),
        (FIRST, resum(SECOND.replace("348.7242", "360.1000")), OrbitFault.RANGE),
        (FIRST, resum(SECOND.replace("10.82419157", "17.50000000")), OrbitFault.RANGE),
        (FIRST, resum(SECOND.replace("10.82419157", " 0.00000000")), OrbitFault.RANGE),
        (resum(FIRST.replace("00179.", "00367.")), SECOND, OrbitFault.EPOCH),
        (resum(FIRST.replace("00179.", "00000.")), SECOND, OrbitFault.EPOCH),
        (resum(FIRST.replace("58002B", "5800\0B")), SECOND, OrbitFault.FORMAT),
        (resum(FIRST.replace("58002B", "5800\x1bB")), SECOND, OrbitFault.FORMAT),
        ("A \x1b[2J\n" + FIRST, SECOND, OrbitFault.FORMAT),
    ],
)
def test_bad_elements(first: str, second: str, fault: OrbitFault) -> None:
    with pytest.raises(OrbitError) as caught:
        parse_tle(f"{first}\n{second}\n")
    assert caught.value.fault is fault


def test_an_orbit_into_the_ground() -> None:
    """sgp4's own refusal comes out by name as well."""
    inside = resum(SECOND.replace("1859667", "9999999"))
    with pytest.raises(OrbitError) as caught:
        parse_tle(f"{FIRST}\n{inside}")
    assert caught.value.fault is OrbitFault.DECAYED


@pytest.mark.parametrize(
    "text", ["", "\n\n", "NAME", FIRST, f"A\nB\n{FIRST}\n{SECOND}"]
)
def test_text_without_elements(text: str) -> None:
    with pytest.raises(OrbitError) as caught:
        parse_tle(text)
    assert caught.value.fault is OrbitFault.FORMAT


@given(st.text(max_size=200))
def test_any_text_is_an_orbit_or_a_named_error(text: str) -> None:
    with pytest.raises(OrbitError):
        parse_tle(text)


@given(st.integers(0, 138), st.characters(min_codepoint=32, max_codepoint=126))
def test_any_one_wrong_character_is_noticed_or_harmless(
    place: int, letter: str
) -> None:
    """A letter in a blank column has no weight; any digit changed is a checksum."""
    text = f"{FIRST}\n{SECOND}"
    changed = text[:place] + letter + text[place + 1 :]
    try:
        (orbit,) = parse_tle(changed)
    except OrbitError:
        return
    (right,) = parse_tle(text)
    assert orbit.inclination == right.inclination
    assert orbit.period == right.period
    assert orbit.epoch == right.epoch


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.tle"
    good.write_text(VANGUARD)
    assert load_tle(good)[0].name == "VANGUARD 1"
    large = tmp_path / "large.tle"
    large.write_bytes(b"\n" * (MAX_FILE + 1))
    binary = tmp_path / "binary.tle"
    binary.write_bytes(b"\xff\xfe")
    for path, fault in (
        (tmp_path / "none", OrbitFault.FILE),
        (tmp_path, OrbitFault.FILE),
        (large, OrbitFault.FILE),
        (binary, OrbitFault.FORMAT),
    ):
        with pytest.raises(OrbitError) as caught:
            load_tle(path)
        assert caught.value.fault is fault
