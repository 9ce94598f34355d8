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
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path
from typing import Final, TypeVar

from gateway.config.model import DEFAULT_PORT, Endpoint
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

_HOST: Final = re.compile(
    r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?"
)
"""DNS names (RFC 1123), the last label starting with a letter: 10.0.0.256 is none."""

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
    return value


def parse_address(value: object) -> str:
    """Take an IP address without a prefix length."""
    try:
        return str(ip_address(parse_text(value)))
    except ValueError:
        raise BadValueError("an IPv4 or IPv6 address") from None


def parse_interface_address(value: object) -> IPv4Interface | IPv6Interface:
    """Take an address with its prefix length; without one it stands for itself."""
    try:
        return ip_interface(parse_text(value))
    except ValueError:
        raise BadValueError("an address and prefix, such as 10.9.0.1/30") from None


def parse_network(value: object) -> IPv4Network | IPv6Network:
    """Take a prefix; host bits are refused, since they are a typing error."""
    text = parse_text(value)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = f"{ip_network(text, strict=False)}"
    except ValueError:
        meant = "10.1.0.0/16"
    raise BadValueError(f"a prefix without host bits, such as {meant}")


def parse_endpoint(value: object) -> Endpoint:
    """Take ``host:port``, ``[IPv6]:port`` or a host alone, with the default port."""
    expected = "HOST:PORT, such as vpn.example.org:51810 or [2001:db8::1]:51810"
    host, port = _split_endpoint(parse_text(value), expected)
    try:
        host = str(ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise BadValueError(expected) from None
    return Endpoint(host, port)


def parse_listen(value: object) -> Endpoint:
    """Take an address to listen on, with or without a port; a name is not one."""
    endpoint = parse_endpoint(value)
    try:
        ip_address(endpoint.host)
    except ValueError:
        raise BadValueError("ADDRESS:PORT, such as 0.0.0.0:51810") from None
    return endpoint


def _split_endpoint(text: str, expected: str) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise BadValueError(expected)
        port = rest[1:] if rest else str(DEFAULT_PORT)
    elif text.count(":") > 1:
        host, port = text, str(DEFAULT_PORT)
    else:
        host, colon, port = text.partition(":")
        port = port if colon else str(DEFAULT_PORT)
    is_digits = port.isascii() and port.isdigit() and len(port) <= len(str(MAX_PORT))
    if not is_digits or not 1 <= int(port) <= MAX_PORT:
        raise BadValueError(f"a port from 1 to {MAX_PORT}")
    return host, int(port)
