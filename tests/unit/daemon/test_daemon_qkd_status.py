"""What ``qkd.`` methods show of two gateways with real KMEs over mutual TLS."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.control.protocol import encode_result
from gateway.daemon.api import qkd as qkd_handlers
from gateway.errors import ControlError
from gateway.sources.diagnosis.findings import Step
from tests.unit.daemon.kme_ends import TARGET, KMESites, in_force, stock
from tests.unit.daemon.services import LINK, End, until


@pytest.fixture
async def sites(short_folder: Path) -> AsyncIterator[KMESites]:
    made = KMESites(short_folder)
    await made.start_kmes()
    await made.pair.make_keys(2000)
    for end in reversed(made.ends.values()):
        await end.start()
    await until(lambda: in_force(made), "the first epoch")
    yield made
    await made.stop()


async def status(end: End) -> dict[str, Any]:
    (one,) = await end.call("qkd.status", link=LINK)
    assert isinstance(one, dict)
    return one


async def test_what_the_kmes_say(sites: KMESites) -> None:
    first, second = sites.ends.values()
    await until(lambda: stock(second) >= TARGET - 1, "a full stock")
    for letter, end in sites.ends.items():
        shown = await status(end)
        assert shown["kme_trouble"] is None
        kme = shown["kme"]
        assert kme["source"] == sites.kme(letter).url
        assert kme["source_kme_id"] == sites.kme(letter).settings.kme_id
        assert (kme["key_size"], kme["notes"]) == (256, [])
        assert kme["stored_key_count"] > 0
        expires = datetime.fromisoformat(kme["certificate_expires"])
        assert expires > datetime.now(UTC) + timedelta(days=300)
        assert shown["description"].startswith("ETSI GS QKD 014 at https://127.0.0.1:")
    ours, theirs = await status(first), await status(second)
    assert ours["kme"]["target_kme_id"] == theirs["kme"]["source_kme_id"]
    assert ours["supply"]["drawn"] >= TARGET
    assert theirs["supply"]["fetched"] >= TARGET - 1


async def test_a_stopped_kme_is_shown_at_once(sites: KMESites) -> None:
    first, second = sites.ends.values()
    await until(lambda: stock(second) >= TARGET - 1, "a full stock")
    await sites.stop_kme("a")
    began = time.monotonic()
    shown = await status(first)
    assert time.monotonic() - began < qkd_handlers.KME_PATIENCE + 1
    assert shown["kme"] is None
    assert shown["kme_trouble"]["fault"] == "unreachable"
    assert "connection refused" in shown["kme_trouble"]["message"]
    assert shown["stock"]["available"] > 0
    result = await first.call("qkd.fetch", link=LINK, count=5)
    assert result["drawn"] == 0
    assert "enc_keys: no connection" in result["error"]
    assert (await status(first))["supply"]["error"] == result["error"]
    await sites.restart_kme("a")
    result = await first.call("qkd.fetch", link=LINK, count=5)
    assert (result["drawn"], result["error"]) == (5, "")
    assert (await status(first))["supply"]["error"] == ""


async def test_a_slow_kme_costs_a_status_no_more_than_its_patience(
    sites: KMESites, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sites.ends["a"]
    monkeypatch.setattr(qkd_handlers, "KME_PATIENCE", 0.3)
    sites.kme("a").misbehaviour.start("slow", delay=1.5)
    began = time.monotonic()
    shown = await status(first)
    assert time.monotonic() - began < 1.2
    assert (shown["kme"], shown["kme_trouble"]["fault"]) == (None, "timeout")
    assert shown["stock"]["available"] > 0


async def test_fetched_keys_reach_the_peer(sites: KMESites) -> None:
    first, second = sites.ends.values()
    await until(lambda: stock(first) >= TARGET - 1, "a full stock")
    result = await first.call("qkd.fetch", link=LINK, count=100)
    assert (result["drawn"], result["error"]) == (100, "")
    await until(lambda: stock(second) >= TARGET + 99, "the same keys at the peer")
    await until(lambda: stock(first) >= TARGET + 99, "their confirmation")


async def test_a_kme_in_order_passes_every_step(sites: KMESites) -> None:
    for letter, end in sites.ends.items():
        before = (await status(end))["stock"]["available"]
        result = await end.call("qkd.test", link=LINK, draw=True)
        assert (result["ok"], result["complete"]) == (True, True), result["findings"]
        assert result["link"] == LINK
        steps = {finding["step"] for finding in result["findings"]}
        assert steps == {step.value for step in Step} - {Step.PEER}
        sources = [finding["source"] for finding in result["findings"]]
        assert sorted(set(sources)) == ["", sites.kme(letter).url]
        # The key drawn is in no stock: it was asked for to be thrown away.
        assert (await status(end))["stock"]["available"] >= before
        assert isinstance(encode_result(1, result), bytes)


async def test_no_key_is_drawn_without_a_word(sites: KMESites) -> None:
    second = sites.ends["b"]
    await until(lambda: stock(second) >= TARGET - 1, "a full stock")
    before = (await status(second))["kme"]["stored_key_count"]
    result = await second.call("qkd.test", link=LINK)
    assert result["ok"]
    assert "draw" not in {finding["step"] for finding in result["findings"]}
    assert (await status(second))["kme"]["stored_key_count"] == before
    assert (await second.call("qkd.test", link=LINK, draw=True))["ok"]
    assert (await status(second))["kme"]["stored_key_count"] == before - 1


async def test_what_is_wrong_is_said_where_it_is(sites: KMESites) -> None:
    await sites.stop_kme("a")
    result = await sites.ends["a"].call("qkd.test", link=LINK)
    assert (result["ok"], result["complete"]) == (False, True)
    last = result["findings"][-1]
    assert (last["step"], last["grade"]) == ("connection", "failed")
    assert "connection refused" in last["text"]
    assert last["hint"]


async def test_half_a_test_is_no_success(
    sites: KMESites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qkd_handlers, "TEST_TIME", 0.5)
    sites.kme("a").misbehaviour.start("slow", delay=1.5)
    result = await sites.ends["a"].call("qkd.test", link=LINK)
    assert (result["ok"], result["complete"]) == (False, False)
    assert result["findings"][-1]["step"] == "certificate"
    # A classical key exchange with the KME is warned of where OpenSSL has no other.
    grades = {
        finding["grade"] for finding in result["findings"] if finding["step"] != "tls"
    }
    assert grades == {"ok"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"link": "nowhere"}, "not-found"),
        ({}, "bad-request"),
        ({"link": LINK, "draw": 1}, "bad-request"),
        ({"link": LINK, "local": True}, "bad-request"),
    ],
)
async def test_wrong_requests(
    sites: KMESites, params: dict[str, object], code: str
) -> None:
    with pytest.raises(ControlError) as caught:
        await sites.ends["a"].call("qkd.test", **params)
    assert caught.value.code == code
