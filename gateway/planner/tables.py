"""Reader of a plan's links and tunnels."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from gateway.config.model import (
    DEFAULT_ROTATION_INTERVAL,
    MAX_QKD_EVERY,
    MAX_ROTATION_INTERVAL,
    MIN_ROTATION_INTERVAL,
    QKDPolicy,
)
from gateway.config.section import Section
from gateway.config.values import (
    BadValueError,
    many,
    number,
    one_of,
    parse_boolean,
    parse_text,
    whole,
)
from gateway.planner.model import Link, PlannedTunnel, RateLink, SpaceLink
from gateway.planner.space.key import LEAST_BITS, MAX_BITS, MOST_BITS, KeyModel
from gateway.planner.space.orbit import Orbit
from gateway.planner.space.passes import MIN_ELEVATION, NIGHT
from gateway.planner.space.stations import Station

SHIPPED: Final = "synthetic"
"""What the shipped orbit is called, unless the plan gives the name to another."""

DEFAULT_STOCK: Final = 1_000
"""Keys of a link with a rate: what a gateway aims for. By satellite it is none."""

DEFAULT_CAPACITY: Final = 100_000
"""Keys: what one of our KMEs stores at most."""

MAX_KEYS: Final = 10**9
"""Of a stock: a hundred satellites' yields of a year."""

MAX_RATE: Final = 1e9
"""Bits a second; the best laboratories' links give a tenth."""

MAX_BATCH: Final = 128
"""Keys of one relayed message (docs/relay.md)."""

MAX_HOPS: Final = 7
"""Between the eight nodes of the longest route (docs/relay.md)."""

_TWO: Final = 2


class LinkKind(StrEnum):
    """Where a link's keys come from."""

    RATE = "rate"
    SATELLITE = "satellite"


def read_link(
    name: str,
    section: Section,
    stations: Mapping[str, Station | None],
    satellites: Mapping[str, Orbit | None],
) -> Link | None:
    """Read ``[links.NAME]``.

    Args:
        name: The link's name.
        section: Its table.
        stations: Known ones by name, None for those that were refused.
        satellites: The same of satellites.
    """
    kind = section.required("kind", one_of(LinkKind), '"rate" or "satellite"')
    keys = whole(0, MAX_KEYS)
    stock = section.optional(
        "stock", keys, DEFAULT_STOCK if kind is LinkKind.RATE else 0
    )
    capacity = section.optional("capacity", whole(1, MAX_KEYS), DEFAULT_CAPACITY)
    if stock > capacity:
        section.refuse("stock", f"at most the capacity, {capacity}", f"{stock}")
    link: Link | None = None
    if kind is LinkKind.RATE:
        rate = section.required("rate", number(0, MAX_RATE, "bits a second"), "2663")
        section.close()
        link = RateLink(name, stock, capacity, rate or 0.0)
    elif kind is LinkKind.SATELLITE:
        link = _read_space_link(name, section, stations, satellites, stock, capacity)
    return link


def _read_space_link(
    name: str,
    section: Section,
    stations: Mapping[str, Station | None],
    satellites: Mapping[str, Orbit | None],
    stock: int,
    capacity: int,
) -> Link | None:
    ends = section.required(
        "stations", many(_known(stations, "station")), '["luxembourg", "singapore"]'
    )
    if ends is not None and len(ends) != _TWO:
        section.refuse("stations", "two stations", f"{len(ends)}")
        ends = None
    satellite = section.optional("satellite", _known(satellites, "satellite"), SHIPPED)
    elevation = section.optional(
        # A pass must rise over it: 89 leaves the way straight up.
        "min_elevation",
        number(0, 89, "degrees"),
        MIN_ELEVATION,
    )
    by_day = section.optional("by_day", parse_boolean, default=False)
    depression = section.optional("sun_depression", number(0, 90, "degrees"), -NIGHT)
    if by_day and "sun_depression" in section:
        section.refuse("sun_depression", "no such key with by_day", "one")
    bits = number(0, MAX_BITS, "bits")
    least = section.optional("least_bits", bits, LEAST_BITS)
    most = section.optional("most_bits", bits, MOST_BITS)
    if least > most:
        key = "least_bits" if "least_bits" in section else "most_bits"
        section.refuse(key, "least_bits up to most_bits", f"{least:g} and {most:g}")
        most = least
    section.close()
    orbit = satellites[satellite]
    first, second = [stations[each] for each in ends] if ends else (None, None)
    if orbit is None or first is None or second is None:
        return None
    return SpaceLink(
        name,
        stock,
        capacity,
        satellite,
        orbit,
        (first, second),
        KeyModel(least, most, elevation),
        None if by_day else -depression,
    )


def read_tunnel(
    name: str, section: Section, links: Mapping[str, object]
) -> PlannedTunnel:
    """Read ``[tunnels.NAME]``; keys are called as in gateway.toml where they are there.

    Args:
        name: The tunnel's name.
        section: Its table.
        links: The names that it may draw on.
    """
    qkd = section.optional("qkd", one_of(QKDPolicy), QKDPolicy.REQUIRED)
    hops = section.optional("links", many(_known(links, "link")), ())
    if len(hops) > MAX_HOPS:
        section.refuse("links", f"at most {MAX_HOPS} hops", f"{len(hops)}")
    if not hops and qkd is not QKDPolicy.OFF:
        section.refuse("links", 'the links of its route, such as ["redu-lux"]', "none")
    interval = section.optional(
        "rotation_interval",
        number(MIN_ROTATION_INTERVAL, MAX_ROTATION_INTERVAL, "seconds"),
        DEFAULT_ROTATION_INTERVAL,
    )
    every = section.optional("qkd_every", whole(1, MAX_QKD_EVERY), 1)
    batch = section.optional("batch", whole(1, MAX_BATCH), 64)
    if "batch" in section and len(hops) == 1:
        section.refuse("batch", "no such key on a single link", "one")
    section.close()
    return PlannedTunnel(name, hops, interval, every, qkd, batch)


def _known(names: Mapping[str, object], what: str) -> Callable[[object], str]:
    """Make a parser of names that stand for something in this plan."""

    def parse(value: object) -> str:
        text = parse_text(value)
        if text not in names:
            known = ", ".join(sorted(names)[:8]) or "none is there"
            raise BadValueError(f"a known {what} ({known})")
        return text

    return parse
