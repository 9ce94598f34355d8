"""An hour of rotations while the KMEs fail in every way, in half a minute or so.

Time is simulated: where the event loop waits, it runs `SPEED` times faster. KMEs, TLS,
stores, handshakes and control channel are real; the kernel is not.
"""

import asyncio
import logging
import os
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

import pytest

from gateway.kme.constant import ConstantLink
from tests.unit.daemon.fast_loop import fast_runner
from tests.unit.daemon.kme_ends import TARGET, KMESites, stock
from tests.unit.daemon.services import LINK, End, tunnel_keys, until

SPEED: Final = 400.0
"""Of waiting alone: what is worked at meanwhile takes the time it takes."""

HOUR: Final = 3600.0
SEED: Final = int(os.environ.get("QGW_KME_SEED", "14"))
POLICIES: Final = {"paris": "required", "rome": "preferred", "oslo": "off"}
INTERVAL: Final = 30.0
"""Seconds of rotation; with two tunnels on the link, stock lasts ten minutes."""

KEYS_A_SECOND: Final = 0.5
OUTAGE: Final = 1200.0
"""Seconds of the one long outage: twice what stock lasts."""

SPOILED: Final = (
    *("slow", "503", "empty", "empty-400", "429", "500", "garbage", "truncated"),
    *("close", "drop", "html", "wrong-keys", "short-keys", "duplicate-ids"),
    *("keys-object", "wrong-types", "same-bytes", "replay", "consumed-410"),
)
_KEY: Final = re.compile(r"QKD key ([0-9a-f-]{36})")


class Chance:
    """Numbers that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1 (Knuth's MMIX generator)."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % limit


class Watch(logging.Handler):
    """Notes what the two gateways say of their epochs."""

    def __init__(self, ends: dict[str, End]) -> None:
        super().__init__(logging.INFO)
        self.keys: dict[tuple[str, int], list[str | None]] = defaultdict(list)
        self.unfounded: list[str] = []
        self.events: Counter[tuple[str, str]] = Counter()
        self._ends = ends

    def emit(self, record: logging.LogRecord) -> None:
        event, tunnel = getattr(record, "event", ""), getattr(record, "tunnel", "")
        if not tunnel:
            return
        self.events[tunnel, event] += 1
        if event == "committed":
            found = _KEY.search(record.getMessage())
            key = found[1] if found else None
            self.keys[tunnel, getattr(record, "epoch", 0)].append(key)
        elif event in {"failed", "qkd-missing"} and stock(self._ends["a"]) > 2:
            self.unfounded.append(f"{tunnel}: {record.getMessage()}")


async def trouble(sites: KMESites, chance: Chance, until_time: float) -> None:
    """Let one KME after the other fail, for less long than stock lasts."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_time:
        await asyncio.sleep(20 + chance.below(60))
        letter = "ab"[chance.below(2)]
        lasts = 10 + chance.below(110)
        if chance.below(3) == 0:
            await sites.stop_kme(letter)
            await asyncio.sleep(lasts)
            await sites.restart_kme(letter)
        else:
            mode = SPOILED[chance.below(len(SPOILED))]
            sites.kme(letter).misbehaviour.start(mode, delay=12.0)
            await asyncio.sleep(lasts)
            sites.kme(letter).misbehaviour.stop()


async def hour(folder: Path) -> None:
    sites = KMESites(folder, ConstantLink(256 * KEYS_A_SECOND))
    await sites.start_kmes(timeout=10.0)
    first, second = sites.ends.values()
    for end, peer in ((first, second), (second, first)):
        for number, (name, policy) in enumerate(POLICIES.items()):
            keys = tunnel_keys(end, peer, number)
            keys |= {"qkd": policy, "rotation_interval": INTERVAL}
            if policy == "off":
                del keys["link"]
            end.tunnel_keys[name] = keys
    watch = Watch(sites.ends)
    logging.getLogger("gateway").addHandler(watch)
    logging.getLogger("gateway").setLevel(logging.INFO)
    try:
        await live_through(sites, watch)
    finally:
        logging.getLogger("gateway").removeHandler(watch)
        await sites.stop()
    check_keys(watch)


async def live_through(sites: KMESites, watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    first, second = sites.ends.values()
    await asyncio.sleep(60.0)
    for end in (second, first):
        await end.start()
    await until(lambda: stock(first) >= TARGET - 4, "a full stock", 600.0)
    begin = loop.time()
    # The first epochs found an empty stock, and made do as their policies say.
    watch.unfounded.clear()
    watch.events.clear()

    await trouble(sites, Chance(SEED), begin + HOUR - OUTAGE)
    await until(lambda: stock(first) >= TARGET - 4, "a full stock again", 600.0)
    assert not watch.unfounded
    assert watch.events["rome", "qkd-missing"] == 0

    # Now for longer than stock lasts: each policy keeps its word.
    for letter in "ab":
        await sites.stop_kme(letter)
    await asyncio.sleep(OUTAGE)
    assert not watch.unfounded
    assert watch.events["paris", "blocked"] == 2
    assert watch.events["rome", "blocked"] == watch.events["oslo", "blocked"] == 0
    assert watch.events["rome", "qkd-missing"] >= 2
    for end in (first, second):
        paris = await end.status("paris")
        assert paris["state"] == "blocked"
        assert end.plane.read_state("paris").blocked
        rome = await end.status("rome")
        assert (rome["state"], rome["key_id"]) == ("up", None)

    restored = watch.events["rome", "qkd-restored"]
    for letter in "ba":
        await sites.restart_kme(letter)
    await until(lambda: stock(first) > 0, "stock", 600.0)
    await asyncio.sleep(4 * INTERVAL)
    for end in (first, second):
        for name, policy in POLICIES.items():
            status = await end.status(name)
            assert status["state"] == "up", (name, status["reason"])
            assert (status["key_id"] is not None) == (policy != "off")
    assert watch.events["rome", "qkd-restored"] == restored + 2

    # Every tunnel that was not blocked has rotated on time, all the hour long.
    assert loop.time() - begin >= HOUR
    committed = sum(watch.events[name, "committed"] for name in POLICIES)
    assert committed >= 2 * 2 * (HOUR / INTERVAL) * 0.9


def check_keys(watch: Watch) -> None:
    """Each key in one epoch of one tunnel, at both ends."""
    for (tunnel, epoch), keys in watch.keys.items():
        assert len(keys) <= 2, (tunnel, epoch)
        assert len(set(keys)) == 1, (tunnel, epoch)
    used = Counter(keys[0] for keys in watch.keys.values() if keys[0] is not None)
    assert len(used) > HOUR / INTERVAL
    assert set(used.values()) == {1}
    assert LINK == "fibre"


@pytest.mark.timeout(900)
def test_an_hour_of_failing_kmes(tmp_path_factory: pytest.TempPathFactory) -> None:
    with fast_runner(SPEED) as runner:
        runner.run(hour(tmp_path_factory.mktemp("h")))
