"""TLEs that tests use."""

from gateway.planner.space.tle import checksum

FIRST = "1 00005U 58002B   00179.78495062  .00000023  00000-0  28098-4 0  4753"
SECOND = "2 00005  34.2682 348.7242 1859667 331.7664  19.3264 10.82419157413667"
VANGUARD = f"VANGUARD 1\n{FIRST}\n{SECOND}\n"
"""Of Revisiting Spacetrack Report #3, as sgp4 ships it."""


def resum(line: str) -> str:
    """Give a changed line its right checksum."""
    return line[:68] + str(checksum(line))
