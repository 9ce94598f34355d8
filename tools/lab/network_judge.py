"""Whether a network kept its promises: from what was captured, seen and received."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.relay.messages import RelayKeys
from lab.network import DAY, TIME_SCALE, TUNNELS, Tunnel
from lab.network_watch import POLL, Seen, TunnelSeen
from lab.relay_tap import pads_used_twice
from lab.stream import Stream

EDGE: Final = 4 * POLL
"""Seconds at either end of a time without traffic that are not judged: what is seen is
as old as a look."""


@dataclass(frozen=True, slots=True)
class TunnelResult:
    """What became of one tunnel.

    Attributes:
        name: Its name.
        policy: As the operator says it.
        epochs: Epochs seen.
        fresh: Those with a QKD key of their own.
        chained: Those that the chain carries an earlier one into.
        without: Those that no QKD key is in.
        blocked_days: Simulated days that it was blocked, after it had come up.
        first_up_day: When it came up.
        sent: Packets sent, both ways.
        arrived: Packets that arrived.
        at_end: How it stood at the end.
    """

    name: str
    policy: str
    epochs: int
    fresh: int
    chained: int
    without: int
    blocked_days: float
    first_up_day: float | None
    sent: int
    arrived: int
    at_end: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the report says.

    Attributes:
        days: Simulated days that passed.
        tunnels: What became of each.
        events: What happened: from which day to which.
        captured_frames: Frames searched for payload.
        leaked_bytes: Bytes of payload found.
        batches: Relay messages on the wire.
        relayed: Keys that Redu and Singapore got over Luxembourg.
        problems: Promises that were not kept, one a line.
    """

    days: float
    tunnels: tuple[TunnelResult, ...]
    events: Mapping[str, tuple[float, float]]
    captured_frames: int
    leaked_bytes: int
    batches: int
    relayed: int
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {"good": self.good, **asdict(self)}


def judge(
    seen: Seen,
    streams: Mapping[str, Stream],
    events: Mapping[str, tuple[float, float]],
    *,
    captured: Sequence[Mapping[str, Any]],
    messages: Sequence[RelayKeys],
    standing: Mapping[str, str],
    began: float,
    ended: float,
    network: Mapping[str, Any],
) -> Judgement:
    """Put it all together."""

    def day(moment: float) -> float:
        return round((moment - began) * TIME_SCALE / DAY, 2)

    leaked = sum(one["leaked_bytes"] for one in captured)
    problems = []
    if leaked:
        problems.append(f"{leaked} bytes of payload were readable on the wire")
    if any(one["dropped"] for one in captured):
        problems.append("the capture lost frames: what was not seen cannot be judged")
    problems += [f"pad used twice: {pad}" for pad in pads_used_twice(messages)]
    problems += _keys_used_twice(seen)
    for tunnel in TUNNELS:
        problems += _policy(tunnel, seen, streams[tunnel.name])
        if standing[tunnel.name] == "down":
            problems.append(f"{tunnel.name} did not come back")
    (route,) = network["routes"]
    if not route["drawn"] or not messages:
        problems.append("nothing was relayed")
    return Judgement(
        days=day(ended),
        tunnels=tuple(
            _result(tunnel, seen, streams[tunnel.name], standing[tunnel.name], day)
            for tunnel in TUNNELS
        ),
        events={name: (day(a), day(b)) for name, (a, b) in events.items()},
        captured_frames=sum(one["frames"] for one in captured),
        leaked_bytes=leaked,
        batches=len(messages),
        relayed=route["drawn"],
        problems=tuple(problems),
    )


def _epochs(seen: Seen, tunnel: str, site: str) -> dict[int, TunnelSeen]:
    """The last that was seen of each epoch."""
    looks = seen.tunnels.get((tunnel, site), [])
    return {one.epoch: one for one in looks if one.epoch is not None and one.key}


def _keys_used_twice(seen: Seen) -> Iterator[str]:
    used: Counter[str] = Counter()
    for tunnel in TUNNELS:
        first, second = (_epochs(seen, tunnel.name, site) for site in tunnel.ends)
        for number in first.keys() | second.keys():
            said = {
                one[number].key_id
                for one in (first, second)
                if number in one and one[number].key == "fresh"
            }
            if len(said) > 1:
                yield f"{tunnel.name}: the ends differ about the key of epoch {number}"
            used.update(key_id for key_id in said if key_id is not None)
    for key_id, count in used.items():
        if count > 1:
            yield f"QKD key {key_id} was used for {count} epochs"


def _policy(tunnel: Tunnel, seen: Seen, stream: Stream) -> Iterator[str]:
    for site in tunnel.ends:
        looks = seen.tunnels.get((tunnel.name, site), [])
        if not looks:
            yield f"{tunnel.name}: nothing was seen at {site}"
        if tunnel.qkd == "required":
            for number, one in _epochs(seen, tunnel.name, site).items():
                stale = one.key == "chained" and (one.age or 0) >= tunnel.every
                if one.key == "none" or stale:
                    yield (
                        f"{tunnel.name}: epoch {number} at {site} has no QKD key, or "
                        "an old one, against its policy"
                    )
        for start, end in blocked(looks):
            passed = sum(
                start + EDGE < arrival.sent_at < end - EDGE
                for arrivals in stream.arrivals.values()
                for arrival in arrivals
            )
            if passed:
                yield f"{tunnel.name}: {passed} packets passed while {site} was blocked"


def blocked(looks: Sequence[TunnelSeen]) -> Iterator[tuple[float, float]]:
    """Yield the times in which one end was blocked."""
    since: float | None = None
    last = 0.0
    for one in looks:
        if one.state == "blocked" and since is None:
            since = one.at
        elif one.state != "blocked" and since is not None:
            yield since, last
            since = None
        last = one.at
    if since is not None:
        yield since, last


def _result(
    tunnel: Tunnel, seen: Seen, stream: Stream, standing: str, day: Any
) -> TunnelResult:
    site = tunnel.ends[0]
    looks = seen.tunnels.get((tunnel.name, site), [])
    kinds = Counter(one.key for one in _epochs(seen, tunnel.name, site).values())
    up = [one.at for one in looks if one.state == "up"]
    down = sum(
        end - max(start, up[0]) for start, end in blocked(looks) if up and end > up[0]
    )
    return TunnelResult(
        name=tunnel.name,
        policy=f"{tunnel.qkd}, every {tunnel.every}",
        epochs=kinds.total(),
        fresh=kinds["fresh"],
        chained=kinds["chained"],
        without=kinds["none"],
        blocked_days=round(down * TIME_SCALE / DAY, 2),
        first_up_day=day(up[0]) if up else None,
        sent=stream.sent,
        arrived=sum(map(len, stream.arrivals.values())),
        at_end=standing,
    )
