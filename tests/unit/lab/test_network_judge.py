"""The judge of the network's demo: each broken promise is noticed."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from lab.network import TUNNELS
from lab.network_judge import EDGE, Judgement, blocked, judge
from lab.network_watch import Seen, TunnelSeen
from lab.stream import Arrival, Stream

from tests.unit.lab.test_relay_tap import batch

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGAN, ENDED = 100.0, 150.0


def look(at: float, epoch: int | None, key: str | None, **other: Any) -> TunnelSeen:
    values = {"state": "up", "age": 0, "key_id": f"k{epoch}", "reason": "", **other}
    if key != "fresh":
        values["key_id"] = None
    return TunnelSeen(at=at, epoch=epoch, key=key, **values)


def a_stream(*sent_at: float) -> Stream:
    arrivals = [Arrival(at, at) for at in sent_at]
    made = SimpleNamespace(arrivals={"a": arrivals, "b": []}, sent=len(sent_at))
    return cast("Stream", made)


def good() -> Seen:
    seen = Seen()
    for place, tunnel in enumerate(TUNNELS):
        for site in tunnel.ends:
            seen.tunnels[tunnel.name, site] = [
                look(101, 1, "fresh", key_id=f"{place}-1"),
                look(103, 2, "fresh", key_id=f"{place}-2"),
            ]
    return seen


def judged(seen: Seen, **changes: Any) -> Judgement:
    values: dict[str, Any] = {
        "captured": [{"leaked_bytes": 0, "dropped": 0, "frames": 10}],
        "messages": [batch(1), batch(2)],
        "standing": {tunnel.name: "up" for tunnel in TUNNELS},
        "network": {"routes": [{"drawn": 2}]},
        **changes,
    }
    streams: Mapping[str, Stream] = values.pop("streams", None) or {
        tunnel.name: a_stream() for tunnel in TUNNELS
    }
    return judge(seen, streams, {}, began=BEGAN, ended=ENDED, **values)


def test_kept_promises_are_good() -> None:
    judgement = judged(good())
    assert judgement.good
    assert judgement.as_json()["problems"] == ()
    assert [one.fresh for one in judgement.tunnels] == [2, 2, 2]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"captured": [{"leaked_bytes": 16, "dropped": 0, "frames": 1}]}, "16 bytes"),
        ({"captured": [{"leaked_bytes": 0, "dropped": 1, "frames": 1}]}, "lost frames"),
        ({"messages": [batch(1), batch(1)]}, "pad used twice"),
        ({"messages": []}, "nothing was relayed"),
        ({"network": {"routes": [{"drawn": 0}]}}, "nothing was relayed"),
        ({"standing": {t.name: "down" for t in TUNNELS}}, "lux-sin did not come back"),
    ],
)
def test_what_was_captured_counts(changes: dict[str, Any], problem: str) -> None:
    judgement = judged(good(), **changes)
    assert not judgement.good
    assert any(problem in one for one in judgement.problems)


def test_waiting_for_keys_is_what_required_means() -> None:
    waiting = {tunnel.name: "waits for keys" for tunnel in TUNNELS}
    assert judged(good(), standing=waiting).good


def test_a_key_of_two_epochs_is_noticed() -> None:
    seen = good()
    for site in ("redu", "lux"):
        seen.tunnels["redu-lux", site][1] = look(103, 2, "fresh", key_id="1-1")
    (problem,) = judged(seen).problems
    assert problem == "QKD key 1-1 was used for 2 epochs"


def test_ends_that_differ_are_noticed() -> None:
    seen = good()
    seen.tunnels["redu-lux", "lux"][1] = look(103, 2, "fresh", key_id="other")
    (problem,) = judged(seen).problems
    assert "the ends differ about the key of epoch 2" in problem


@pytest.mark.parametrize(
    ("tunnel", "key", "age", "kept"),
    [
        ("redu-lux", "chained", 1, False),  # every epoch is to have its own
        ("redu-sin", "chained", 1, True),
        ("redu-sin", "chained", 2, False),
        ("redu-sin", "none", None, False),
        ("lux-sin", "chained", 9, True),  # preferred goes on
        ("lux-sin", "none", None, True),
    ],
)
def test_policies(tunnel: str, key: str, age: int | None, kept: bool) -> None:
    seen = good()
    (found,) = (one for one in TUNNELS if one.name == tunnel)
    seen.tunnels[tunnel, found.ends[0]].append(look(105, 3, key, age=age))
    assert judged(seen).good is kept


def test_packets_through_a_blocked_tunnel_are_noticed() -> None:
    seen = good()
    seen.tunnels["redu-lux", "redu"] += [
        look(at, 2, "fresh", key_id="0-2", state="blocked") for at in (110, 120)
    ]
    streams = {tunnel.name: a_stream() for tunnel in TUNNELS}
    streams["redu-lux"] = a_stream(110 + EDGE / 2, 115.0)
    (problem,) = judged(seen, streams=streams).problems
    assert problem == "redu-lux: 1 packets passed while redu was blocked"


def test_times_of_being_blocked() -> None:
    states = ["up", "blocked", "blocked", "up", "blocked"]
    looks = [look(n, 1, "fresh", state=state) for n, state in enumerate(states)]
    assert list(blocked(looks)) == [(1, 2), (4, 4)]
