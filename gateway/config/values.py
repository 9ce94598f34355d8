"""Parsers of single TOML values: a typed value, or a word on what was expected.

A parser takes what `tomllib` gave, of whatever type, and returns the value or
raises `BadValueError`. Durations are plain numbers of seconds, as in WireGuard's
own configuration: one unit, nothing to guess.
"""

import datetime
import math
import re
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final, TypeVar

from gateway.config.problems import show

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

MAX_LISTED: Final = 1024
"""Elements of one list; a site with more prefixes than that aggregates them."""

MAX_PORT: Final = 65_535

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
"""Tunnel and link names: they travel in messages of at most 32 bytes."""

INTERFACE_SIZE: Final = 15
"""Bytes of an interface name: the kernel's IFNAMSIZ less its zero."""

INTERFACE: Final = re.compile(rf"(?!\.{{1,2}}$)[A-Za-z0-9_.+-]{{1,{INTERFACE_SIZE}}}")
"""Interface names that need no quoting anywhere."""

NO_TUNNELS: Final = frozenset({"lo", "all", "default"})
"""Names that are the loopback's, or those of settings for every interface."""

FIRST_YEAR, LAST_YEAR = 1957, 2059
"""Years that `gateway.planner.space` predicts passes in."""

_TIME: Final = "a date or a date and time, such as 2026-03-01T00:00:00Z"

_HEX_KEY: Final = re.compile(r"[0-9A-Fa-f]{32,}")
_BASE64_KEY: Final = re.compile(r"[A-Za-z0-9+/_-]{42,}={1,2}")
"""32 bytes or more with their padding, which no file name ends in."""


class BadValueError(Exception):
    """Raised when a value cannot be used.

    Attributes:
        expected: What would have been right.
        found: What is there, or None to show the value itself.
        index: Which element of a list it is, or None.
    """

    def __init__(
        self, expected: str, found: str | None = None, index: int | None = None
    ) -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found
        self.index = index


def parse_text(value: object) -> str:
    """Take a string that is not empty and holds no control characters."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise BadValueError("a string")
    return value


def parse_boolean(value: object) -> bool:
    """Take true or false, and no string that says so."""
    if not isinstance(value, bool):
        raise BadValueError("true or false")
    return value


def parse_time(value: object) -> float:
    """Take TOML's dates and times as UTC seconds since 1970; no offset means UTC."""
    if isinstance(value, datetime.datetime):
        moment = value
    elif isinstance(value, datetime.date):
        moment = datetime.datetime(
            value.year, value.month, value.day, tzinfo=datetime.UTC
        )
    else:
        raise BadValueError(_TIME)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadValueError(f"{_TIME}, in {FIRST_YEAR} to {LAST_YEAR}")
    return moment.timestamp()


def whole(minimum: int, maximum: int) -> Callable[[object], int]:
    """Make a parser of whole numbers within bounds, both included."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValueError(f"a whole number from {minimum} to {maximum}")
        if not minimum <= value <= maximum:
            raise BadValueError(f"a whole number from {minimum} to {maximum}")
        return value

    return parse


def number(minimum: float, maximum: float, unit: str) -> Callable[[object], float]:
    """Make a parser of numbers within bounds, both included."""
    expected = f"a number of {unit} from {minimum:g} to {maximum:g}"

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadValueError(expected)
        if not minimum <= value <= maximum or math.isnan(value):
            raise BadValueError(expected)
        return float(value)

    return parse


def one_of(kind: type[E]) -> Callable[[object], E]:
    """Make a parser of the values of an enumeration."""

    def parse(value: object) -> E:
        for member in kind:
            if value == member.value:
                return member
        raise BadValueError("one of " + ", ".join(member.value for member in kind))

    return parse


def many(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Make a parser of lists without repetitions."""

    def parse_list(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise BadValueError("a list")
        if len(value) > MAX_LISTED:
            raise BadValueError(f"at most {MAX_LISTED} elements")
        taken: list[T] = []
        for index, element in enumerate(value):
            try:
                parsed = parse(element)
            except BadValueError as error:
                found = error.found or show(element)
                raise BadValueError(error.expected, found, index) from None
            if parsed in taken:
                raise BadValueError(
                    "each element once", f"{show(element)} twice", index
                )
            taken.append(parsed)
        return tuple(taken)

    return parse_list


def path_beside(file: Path) -> Callable[[object], Path]:
    """Make a parser of paths, relative ones taken from the folder of `file`."""

    def parse(value: object) -> Path:
        # Joined without touching the disk: nothing named here is opened.
        return file.parent / parse_text(value)

    return parse


def secret_path_beside(file: Path) -> Callable[[object], Path]:
    """Make a parser of paths to secrets that never repeats what it was given.

    Someone will write the secret itself where its file belongs. It must not come
    back in a message, nor be taken for the name of a file that is missing.
    """

    def parse(value: object) -> Path:
        expected = "the name of a file; a secret is never written here"
        if not isinstance(value, str) or not value or not value.isprintable():
            raise BadValueError(expected, "(hidden)")
        if _HEX_KEY.fullmatch(value) or _BASE64_KEY.fullmatch(value):
            raise BadValueError(expected, "(hidden)")
        return file.parent / value

    return parse


def parse_interface_name(value: object) -> str:
    """Take the name of a network interface."""
    if not isinstance(value, str) or not INTERFACE.fullmatch(value):
        raise BadValueError("an interface name of at most 15 letters, digits, . _ - +")
    if value in NO_TUNNELS:
        raise BadValueError("an interface name that means nothing else to the kernel")
    return value


def refuse_link_local(host: str, shown: str) -> None:
    """See that TLS can reach a host by its address.

    Neither TLS nor certificates know the zone of a link-local address, and without one
    the kernel does not know the interface.

    Raises:
        BadValueError: It cannot.
    """
    try:
        is_local = "%" in host or IPv6Address(host).is_link_local
    except ValueError:
        return  # a name, or IPv4, whose link-local addresses need no zone
    if is_local:
        raise BadValueError(
            "a name or an address that is not link-local: such an address cannot be "
            "reached without a zone, and with a zone cannot stand in a certificate",
            shown,
        )
