"""Two-line element sets: text that others wrote, so every column is checked.

sgp4 itself reads what it can and goes on: a wrong checksum or a letter in a number may
give an orbit somewhere else. Format: Kelso, *NORAD Two-Line Element Set Format*
(CelesTrak); numbers with a letter (Alpha-5) are let through.
"""

import re
from pathlib import Path
from typing import Final

from sgp4.api import Satrec

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.orbit import TLE_MAX_AGE, Orbit
from gateway.planner.space.times import DAY, UNIX_JULIAN_DATE

MAX_FILE: Final = 1_000_000
"""Bytes: some 6,000 satellites."""

LINE: Final = 69
"""Characters; the last one is the checksum."""

_FIRST: Final = re.compile(
    r"1 (?P<number>[ 0-9A-HJ-NP-Z][ 0-9]{3}[0-9])[UCS ] [ -~]{8} (?P<year>[0-9]{2})"
    r"(?P<day>[ 0-9]{3}\.[0-9]{8}) [-+ 0][.][0-9]{8} [-+ ][ 0-9]{5}[-+][0-9] "
    r"[-+ ][ 0-9]{5}[-+][0-9] [0-9 ] [ 0-9]{4}[0-9]"
)

_ANGLE: Final = r"[ 0-9]{3}\.[0-9]{4}"

_SECOND: Final = re.compile(
    r"2 (?P<number>[ 0-9A-HJ-NP-Z][ 0-9]{3}[0-9])"
    rf" (?P<inclination>{_ANGLE}) (?P<node>{_ANGLE}) [ 0-9]{{7}}"
    rf" (?P<perigee>{_ANGLE}) (?P<anomaly>{_ANGLE})"
    r" (?P<motion>[ 0-9]{2}\.[0-9]{8})[ 0-9]{5}[0-9]"
)

_RANGES: Final = {
    "inclination": (0.0, 180.0),
    "node": (0.0, 360.0),
    "perigee": (0.0, 360.0),
    "anomaly": (0.0, 360.0),
    "motion": (0.05, 17.0),
}
"""Degrees; revolutions a day: 17 would fly through the ground's air."""

_LAST_DAY: Final = 367.0
"""Days count from 1.0, so that a leap year ends before it."""


def load_tle(path: Path) -> list[Orbit]:
    """Read a file of TLEs.

    Raises:
        OrbitError: It cannot be read, is too large, or a TLE in it is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise OrbitError(
            f"cannot read {path}: {(error.strerror or 'an error').lower()}",
            fault=OrbitFault.FILE,
        ) from None
    if len(content) > MAX_FILE:
        raise OrbitError(
            f"{path} is over {MAX_FILE:,} bytes",
            "keep the satellites that carry keys",
            fault=OrbitFault.FILE,
        )
    try:
        return parse_tle(content.decode("ascii"))
    except UnicodeDecodeError:
        pass
    raise OrbitError(f"{path} is no text of TLEs", fault=OrbitFault.FORMAT)


def parse_tle(text: str) -> list[Orbit]:
    """Take TLEs out of text; a line before a pair names the satellite.

    Raises:
        OrbitError: One is wrong: its line's form, checksum, number, range or epoch, or
            there is none.
    """
    orbits = []
    name, first = "", ""
    for index, raw in enumerate(text.splitlines(), 1):
        line = raw.rstrip()
        if not line:
            continue
        if first:
            orbits.append(_make(name, first, line, index))
            name = first = ""
        elif line.startswith("1 "):
            first = line
        elif line.startswith("2 ") or name:
            raise _wrong(index, "no line 1 comes before it", OrbitFault.FORMAT)
        elif not line.isprintable():
            raise _wrong(index, "a name that is not printable", OrbitFault.FORMAT)
        else:
            name = line.removeprefix("0 ").strip()[:24]
    if first or name or not orbits:
        raise OrbitError(
            "the text ends before a TLE does",
            "it has two lines",
            fault=OrbitFault.FORMAT,
        )
    return orbits


def checksum(line: str) -> int:
    """Compute the last digit of a line: its digits, and 1 for each minus, modulo 10."""
    digits = (int(each) for each in line[: LINE - 1] if each in "0123456789")
    return (sum(digits) + line[: LINE - 1].count("-")) % 10


def _make(name: str, first: str, second: str, index: int) -> Orbit:
    one = _match(_FIRST, first, index - 1)
    two = _match(_SECOND, second, index)
    if one["number"] != two["number"]:
        raise _wrong(index, "it is another satellite's than line 1", OrbitFault.FORMAT)
    day = _number(one["day"], "epoch", index - 1)
    if not 1.0 <= day < _LAST_DAY:
        raise _wrong(index - 1, f"day {day:g} is in no year", OrbitFault.EPOCH)
    for field, (low, high) in _RANGES.items():
        value = _number(two[field], field, index)
        if not low <= value <= high:
            raise _wrong(
                index,
                f"{field} is {value:g}, not {low:g} to {high:g}",
                OrbitFault.RANGE,
            )
    satellite = Satrec.twoline2rv(first, second)
    epoch = (satellite.jdsatepoch - UNIX_JULIAN_DATE + satellite.jdsatepochF) * DAY
    label = name or f"satellite {one['number'].strip()}"
    return Orbit(label, epoch, TLE_MAX_AGE, satellite)


def _match(pattern: re.Pattern[str], line: str, index: int) -> re.Match[str]:
    if len(line) != LINE:
        raise _wrong(
            index, f"it has {len(line)} characters, not {LINE}", OrbitFault.FORMAT
        )
    if not line.isascii() or line[-1] not in "0123456789":
        raise _wrong(index, "its checksum is no digit", OrbitFault.CHECKSUM)
    if checksum(line) != int(line[-1]):
        raise _wrong(
            index,
            f"its checksum is {line[-1]}, and {checksum(line)} by its digits",
            OrbitFault.CHECKSUM,
        )
    found = pattern.fullmatch(line)
    if found is None:
        raise _wrong(index, f"it is no line {pattern.pattern[0]}", OrbitFault.FORMAT)
    return found


def _number(text: str, field: str, index: int) -> float:
    # A blank within digits is how a damaged line looks, and float() refuses it.
    try:
        return float(text)
    except ValueError:
        pass
    raise _wrong(index, f"{field} is no number", OrbitFault.FORMAT)


def _wrong(index: int, what: str, fault: OrbitFault) -> OrbitError:
    return OrbitError(f"line {index} of the TLE: {what}", "get it again", fault=fault)
