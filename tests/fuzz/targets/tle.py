"""Two-line elements, and the orbits that they give."""

import math
from collections.abc import Iterator

import numpy as np

from gateway.errors import OrbitError
from gateway.planner.space.orbit import TLE_MAX_AGE, Orbit
from gateway.planner.space.tle import parse_tle
from tests.fuzz.target import Target
from tests.unit.planner.space.elements import FIRST, SECOND, VANGUARD, resum


def run(data: bytes) -> None:
    """Insist on orbits that can be asked, for the text and with right checksums.

    A fuzzer would seldom find a checksum by chance.
    """
    text = data.decode("latin-1")
    for each in (text, "\n".join(map(resum_if_whole, text.splitlines()))):
        try:
            orbits = parse_tle(each)
        except OrbitError as error:
            assert error.message
            continue
        for orbit in orbits:
            ask(orbit)


def ask(orbit: Orbit) -> None:
    """Ask where a satellite is during the days that its elements are good for."""
    assert math.isfinite(orbit.epoch)
    assert len(orbit.name) <= 24
    assert orbit.name.isprintable()
    times = orbit.epoch + np.linspace(-TLE_MAX_AGE, TLE_MAX_AGE, 5)
    try:
        positions = orbit.positions(times)
    except OrbitError:
        return
    assert np.isfinite(positions).all()


def resum_if_whole(line: str) -> str:
    return resum(line) if len(line.rstrip()) == len(FIRST) else line


def seeds() -> Iterator[bytes]:
    yield VANGUARD.encode()
    yield f"{FIRST}\n{SECOND}\n".encode()
    yield f"0 NAME\r\n{FIRST}\r\n{SECOND}\r\n\r\n{VANGUARD}".encode()
    yield b"1 " + b"0" * 67 + b"\n2 " + b"0" * 67


TARGET = Target(
    "two-line elements: OrbitError or orbits with finite positions",
    run,
    seeds,
    600,
    (FIRST.encode(), SECOND.encode(), b"\n", b"1 A0005U", b"99999", b"-9"),
)
