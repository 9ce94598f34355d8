"""``qkd.links``, ``qkd.status`` and ``qkd.fetch`` of two services with two KMEs."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import LinkConfig
from gateway.control.protocol import encode_result
from gateway.daemon.api import qkd as qkd_handlers
from gateway.errors import ControlError, SourceFault
from gateway.sources import clients
from gateway.sources.base import Delivery, KeyClient
from gateway.supply.machine import DISAGREE
from tests.unit.daemon.conftest import _stop, start_both
from tests.unit.daemon.services import (
    LINK,
    TUNNEL,
    End,
    make_ends,
    tunnel_keys,
    until,
)
from tests.unit.supply.kme_pair import MemoryKME, SharedPool

Pair = tuple[End, End]

URLS = ["https://kme-1.example.org", "https://kme-2.example.org"]
TARGET = 100


class Site:
    """Two gateways, each with a KME in memory."""

    def __init__(self, folder: Path) -> None:
        self.pool = SharedPool()
        self.ends: Pair = tuple(make_ends(folder))  # type: ignore[assignment]  # two
        self.kmes = [MemoryKME(self.pool), MemoryKME(self.pool)]
        for end in self.ends:
            peer = "b" if end.letter == "a" else "a"
            end.link_keys = {
                "source": "etsi014",
                "kme": URLS,
                "sae_id": f"site-{end.letter}",
                "peer_sae_id": f"site-{peer}",
                "ca": "ca.pem",
                "certificate": "own.pem",
                "private_key": "own.key",
                "target": TARGET,
                "capacity": 3 * TARGET,
                "batch": 50,
            }

    def make_client(self, link: LinkConfig) -> KeyClient:
        assert link.kme is not None
        return self.kmes["ab".index(link.kme.sae_id[-1])]


@pytest.fixture
async def site(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    made = Site(short_folder)
    monkeypatch.setattr(clients, "make_client", made.make_client)
    yield made
    await _stop(*made.ends)


@pytest.fixture
async def running(site: Site) -> Site:
    await start_both(site.ends)
    return site


async def status(end: End) -> dict[str, Any]:
    """Return the link's status, as JSON would carry it."""
    result = await end.call("qkd.status", link=LINK)
    (one,) = json.loads(encode_result(1, result))["result"]
    assert isinstance(one, dict)
    return one


async def in_step(site: Site) -> bool:
    return all([(await status(end))["unconfirmed"] == 0 for end in site.ends]) and bool(
        (await status(site.ends[1]))["stock"]["available"] >= TARGET - 1
    )


async def refused(end: End, method: str, **params: object) -> ControlError:
    with pytest.raises(ControlError) as caught:
        await end.call(method, **params)
    return caught.value


async def test_links(running: Site) -> None:
    first, second = running.ends
    (ours,) = await first.call("qkd.links")
    assert ours["stock"]["link"] == ours["link"] == LINK
    assert (ours["source"], ours["simulated"]) == ("etsi014", False)
    assert (ours["sae_id"], ours["peer_sae_id"]) == ("site-a", "site-b")
    assert ours["kmes"] == URLS
    assert (ours["draws"], ours["tunnels"], ours["error"]) == (True, [TUNNEL], "")
    (theirs,) = await second.call("qkd.links")
    assert (theirs["draws"], theirs["tunnels"]) == (False, [TUNNEL])


async def test_the_kme_and_the_store_stand_side_by_side(running: Site) -> None:
    first, second = running.ends
    await until(lambda: in_step(running), "stock in step")
    shown = await status(first)
    assert shown["description"] == "a KME in memory"
    assert shown["kme_trouble"] is None
    assert shown["kme"]["stored_key_count"] == running.pool.left
    assert (shown["kme"]["source_kme_id"], shown["kme"]["target_kme_id"]) == ("A", "B")
    assert (shown["kme"]["key_size"], shown["kme"]["max_key_per_request"]) == (256, 128)
    supply = shown["supply"]
    assert supply["drawn"] >= TARGET
    assert (supply["fetched"], supply["refused"], supply["error"]) == (0, {}, "")
    assert shown["stock"]["available"] + shown["stock"]["consumed"] == supply["drawn"]
    assert shown["stock"]["rate_in"] > 0
    assert (shown["target"], shown["capacity"]) == (TARGET, 3 * TARGET)
    answering = await status(second)
    assert answering["draws"] is False
    assert answering["supply"]["fetched"] == supply["drawn"]
    assert answering["supply"]["drawn"] == 0


async def test_what_the_peer_holds_is_shown(running: Site) -> None:
    async def told() -> bool:
        supply = (await status(running.ends[0]))["supply"]
        return supply["peer_available"] is not None and not supply["announced"]

    await until(told, "the peer's stock")
    assert (await status(running.ends[0]))["supply"]["peer_available"] > 0


async def test_time_to_empty_follows_the_schedule(site: Site) -> None:
    for end, peer in (site.ends, site.ends[::-1]):
        end.tunnel_keys["lyon"] = {
            **tunnel_keys(end, peer, 1),
            "rotation_interval": 30.0,
            "max_epoch_lifetime": 120.0,
        }
        end.tunnel_keys["oslo"] = {**tunnel_keys(end, peer, 2), "qkd": "off"}
    await start_both(site.ends)
    first = site.ends[0]
    shown = await status(first)
    assert shown["tunnels"] == ["lyon", TUNNEL]
    assert shown["scheduled_rate"] == pytest.approx(1 / 60 + 1 / 30)
    available = shown["stock"]["available"]
    assert shown["scheduled_empty_s"] == pytest.approx(available * 20)
    await first.call("tunnel.down", name="lyon")
    assert (await status(first))["scheduled_rate"] == pytest.approx(1 / 60)
    await first.call("tunnel.down", name=TUNNEL)
    shown = await status(first)
    assert (shown["scheduled_rate"], shown["scheduled_empty_s"]) == (0, None)
    assert shown["tunnels"] == ["lyon", TUNNEL]


async def test_a_silent_kme_keeps_nothing_from_being_shown(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qkd_handlers, "KME_PATIENCE", 0.2)
    running.kmes[0].delay = 3600.0
    shown = await status(running.ends[0])
    assert shown["kme"] is None
    assert shown["kme_trouble"] == {
        "message": "no answer within 0 s",
        "hint": f"see: qgw qkd test {LINK}",
        "fault": "timeout",
    }
    assert shown["stock"]["available"] > 0


@pytest.mark.parametrize("fault", list(SourceFault))
async def test_a_kme_that_refuses_is_shown_in_its_place(
    running: Site, fault: SourceFault
) -> None:
    running.kmes[0].fault = fault
    shown = await status(running.ends[0])
    assert shown["kme"] is None
    assert shown["kme_trouble"]["fault"] == fault.value
    assert shown["kme_trouble"]["message"] == "https://memory: status: no"
    assert shown["stock"]["available"] > 0


async def test_the_last_error_and_the_next_try_are_shown(running: Site) -> None:
    first = running.ends[0]
    # Else the daemon's own drawing fails as well, and the next try is later.
    await until(lambda: in_step(running), "stock in step")
    running.kmes[0].fault = SourceFault.UNREACHABLE
    await first.call("qkd.fetch", link=LINK)
    supply = (await status(first))["supply"]
    assert supply["error"] == "https://memory: enc_keys: no"
    assert 0 < supply["retry_in_s"] <= 2.0
    (row,) = await first.call("qkd.links")
    assert row["error"] == supply["error"]


async def test_kmes_that_disagree_are_shown_where_keys_are_drawn(
    running: Site,
) -> None:
    first, second = running.ends
    await until(lambda: in_step(running), "stock in step")
    running.kmes[1].lying = True
    assert (await first.call("qkd.fetch", link=LINK))["drawn"] == 50

    async def told() -> bool:
        return bool((await status(first))["supply"]["error"])

    await until(told, "the trouble in the status")
    supply = (await status(first))["supply"]
    assert (supply["error"], supply["hint"]) == DISAGREE
    assert supply["retry_in_s"] > 0
    assert (await status(second))["supply"]["refused"]["differs"] > 0


async def test_fetch_draws_a_batch_or_as_many_as_wanted(running: Site) -> None:
    first = running.ends[0]
    await until(lambda: in_step(running), "stock in step")
    before = await status(first)
    result = await first.call("qkd.fetch", link=LINK)
    assert (result["wanted"], result["drawn"], result["error"]) == (50, 50, "")
    result = await first.call("qkd.fetch", link=LINK, count=70)
    assert (result["wanted"], result["drawn"]) == (70, 70)
    after = await status(first)
    assert after["supply"]["drawn"] - before["supply"]["drawn"] == 120
    assert after["supply"]["calls"] - before["supply"]["calls"] == 3
    assert result["available"] == after["stock"]["available"]
    await until(lambda: in_step(running), "the peer has them too")


async def test_fetch_stops_at_the_links_capacity(running: Site) -> None:
    first = running.ends[0]
    result = await first.call("qkd.fetch", link=LINK, count=1_000_000)
    assert result["wanted"] == result["drawn"] < 3 * TARGET
    stock = (await status(first))["stock"]
    assert stock["available"] + stock["reserved"] == 3 * TARGET
    error = await refused(first, "qkd.fetch", link=LINK)
    assert error.message.startswith(f"the stock of link {LINK} is full: ")


async def test_a_fetch_that_brings_less_says_why(running: Site) -> None:
    first, kme = running.ends[0], running.kmes[0]
    await until(lambda: in_step(running), "stock in step")
    running.pool.left = 30
    result = await first.call("qkd.fetch", link=LINK, count=80)
    assert (result["drawn"], result["error"]) == (30, "https://memory: enc_keys: no")
    result = await first.call("qkd.fetch", link=LINK)
    assert result["drawn"] == 0
    known, new = (await MemoryKME(SharedPool()).get_keys(2)).keys
    kme.fixed = Delivery((known,))
    assert (await first.call("qkd.fetch", link=LINK, count=1))["drawn"] == 1
    kme.fixed = Delivery((known, new))
    result = await first.call("qkd.fetch", link=LINK, count=2)
    assert (result["drawn"], result["refused"]) == (1, {"duplicate": 1})


async def test_keys_that_are_all_refused_are_no_success(running: Site) -> None:
    first, kme = running.ends[0], running.kmes[0]
    key = (await MemoryKME(SharedPool()).get_keys(1)).keys[0]
    kme.fixed = Delivery((key,))
    assert (await first.call("qkd.fetch", link=LINK, count=1))["drawn"] == 1
    kme.fixed = Delivery((key,))
    result = await first.call("qkd.fetch", link=LINK, count=1)
    assert (result["drawn"], result["refused"]) == (0, {"duplicate": 1})
    assert "no key that came can be used (1 duplicate)" in result["error"]


async def test_a_fetch_ends_in_time(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qkd_handlers, "FETCH_TIME", 0.2)
    await until(lambda: in_step(running), "stock in step")
    running.kmes[0].delay = 3600.0
    result = await running.ends[0].call("qkd.fetch", link=LINK)
    assert (result["drawn"], result["error"]) == (
        0,
        "no more than 0 keys came within 0 s",
    )


async def test_keys_are_drawn_at_one_end_only(running: Site) -> None:
    error = await refused(running.ends[1], "qkd.fetch", link=LINK)
    assert error.message == f"this end draws no keys for link {LINK}"
    assert running.kmes[1].drawn == 0


async def test_a_simulated_link_has_no_kme(ends: Pair) -> None:
    await start_both(ends)
    shown = await status(ends[0])
    assert (shown["kme"], shown["kme_trouble"], shown["supply"]) == (None, None, None)
    assert "SIMULATED" in shown["description"].upper()
    (row,) = await ends[0].call("qkd.links")
    assert (row["source"], row["simulated"], row["kmes"]) == ("simulated", True, [])
    for method in ("qkd.fetch", "qkd.test"):
        error = await refused(ends[0], method, link=LINK)
        assert error.message == f"link {LINK} has no KME: its source is simulated"


async def test_a_link_by_hand_compares_its_stock(file_ends: Pair) -> None:
    file_ends[0].tunnel_keys[TUNNEL]["qkd"] = "off"  # lest a handshake reserves them
    await file_ends[0].start()
    assert (await file_ends[0].import_keys(range(1, 4)))["added"] == 3
    shown = await status(file_ends[0])
    assert (shown["kme"], shown["kme_trouble"]) == (None, None)
    assert shown["description"] == "by hand"
    assert (shown["stock"]["available"], shown["unconfirmed"]) == (3, 3)
    error = await refused(file_ends[0], "qkd.fetch", link=LINK)
    assert error.message == f"link {LINK} has no KME: its source is file"


async def test_every_link_at_once_and_unknown_ones(running: Site) -> None:
    first = running.ends[0]
    assert [one["link"] for one in await first.call("qkd.status")] == [LINK]
    for method in ("qkd.status", "qkd.fetch"):
        error = await refused(first, method, link="nowhere")
        assert error.code == "not-found"


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "7", 10_000_001])
async def test_a_count_is_a_whole_number(running: Site, count: object) -> None:
    error = await refused(running.ends[0], "qkd.fetch", link=LINK, count=count)
    assert error.code == "bad-request"


@pytest.mark.parametrize("method", ["qkd.links", "qkd.status", "qkd.fetch", "qkd.test"])
async def test_unknown_parameters_are_refused(running: Site, method: str) -> None:
    error = await refused(running.ends[0], method, colour="red")
    assert error.code == "bad-request"
