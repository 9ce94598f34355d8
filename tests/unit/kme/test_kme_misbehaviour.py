"""Every mode does what its line in the table says, and only where it concerns."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from doubles.kme_pair import KMEPair

from gateway.errors import KMEError
from gateway.kme.misbehaviour.modes import BUSY, MODES
from tests.unit.kme.conftest import Call
from tests.unit.kme.sae import SAE, Answer

UNKNOWN = "00000000-0000-4000-8000-000000000000"
STATUSES = {
    "503": 503,
    "500": 500,
    "500-detail": 500,
    "500-error": 500,
    "500-problem": 500,
    "429": 429,
    "html": 502,
    "redirect": 307,
    "certificate-400": 400,
    "certificate-401": 401,
    "certificate-404": 404,
}


class Ends:
    """SAEs of both ends, and the KME that is told to misbehave."""

    def __init__(self, pair: KMEPair, sae: Call) -> None:
        self.pair = pair
        self.alice: SAE = sae("gw-a", pair.alice.url)
        self.bob: SAE = sae("gw-b", pair.bob.url)

    def start(
        self, mode: str, *, count: int | None = None, delay: float = 0.01
    ) -> None:
        for server in (self.pair.alice, self.pair.bob):
            server.misbehaviour.start(mode, count=count, delay=delay)

    def stop(self) -> None:
        for server in (self.pair.alice, self.pair.bob):
            server.misbehaviour.stop()

    async def drawn(self, number: int = 3) -> dict[str, bytes]:
        return (await self.alice.draw("gw-b", number)).keys


@pytest.fixture
async def ends(pair: KMEPair, sae: Call) -> Ends:
    return Ends(pair, sae)


def entries(answer: Answer) -> list[dict[str, object]]:
    assert answer.status == 200
    keys = answer.document["keys"]
    assert isinstance(keys, list)
    return keys


@pytest.mark.parametrize("mode", STATUSES)
async def test_refusals_of_every_call(ends: Ends, mode: str) -> None:
    ends.start(mode)
    for answer in (
        await ends.alice.get("gw-b", "status"),
        await ends.alice.draw("gw-b"),
        await ends.bob.fetch("gw-a", UNKNOWN),
    ):
        assert answer.status == STATUSES[mode]
        is_json = "json" in answer.headers.get("Content-Type", "")
        assert is_json == (mode not in {"html", "redirect", "certificate-401"})
    ends.stop()
    assert len(await ends.drawn()) == 3


@pytest.mark.parametrize(
    ("mode", "status"), [("keeps-one", 503), ("keeps-one-400", 400)]
)
async def test_one_that_keeps_a_key_back(ends: Ends, mode: str, status: int) -> None:
    """It says that it has 100, and gives 99."""
    ends.start(mode)
    assert (await ends.alice.get("gw-b", "status")).document["stored_key_count"] == 100
    for _ in range(3):
        assert len((await ends.alice.draw("gw-b", 32)).keys) == 32
    for number in (4, 5):
        answer = await ends.alice.draw("gw-b", number)
        assert answer.status == status
        assert answer.document["message"] == "the request was declined"
    assert len((await ends.alice.draw("gw-b", 3)).keys) == 3
    assert (await ends.alice.draw("gw-b")).status == status


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_keys_that_are_gone_without_a_word(ends: Ends, status: int) -> None:
    drawn = await ends.drawn()
    ends.start(f"consumed-{status}")
    answer = await ends.bob.fetch("gw-a", UNKNOWN)
    assert (answer.status, answer.body) == (status, b"")
    assert (await ends.bob.fetch("gw-a", *drawn)).keys == drawn


async def test_words_in_places_of_their_own(ends: Ends) -> None:
    places = {"500-detail": "detail", "500-error": "error", "500-problem": "detail"}
    for mode, place in places.items():
        ends.start(mode)
        answer = await ends.alice.draw("gw-b")
        assert BUSY in str(answer.document[place])
        assert "message" not in answer.document
        is_problem = answer.headers["Content-Type"] == "application/problem+json"
        assert is_problem == (mode == "500-problem")


async def test_details_of_refusals(ends: Ends) -> None:
    ends.start("429")
    assert (await ends.alice.draw("gw-b")).headers["Retry-After"] == "2"
    ends.start("redirect")
    location = (await ends.alice.draw("gw-b")).headers["Location"]
    assert location.startswith("https://kme.invalid/")
    ends.start("html")
    assert b"<html>" in (await ends.alice.draw("gw-b")).body


@pytest.mark.parametrize(("mode", "status"), [("empty", 503), ("empty-400", 400)])
async def test_empty_is_said_of_drawing_alone(
    ends: Ends, mode: str, status: int
) -> None:
    drawn = await ends.drawn()
    ends.start(mode)
    refused = await ends.alice.draw("gw-b")
    assert (refused.status, refused.message) == (status, "not enough keys")
    assert (await ends.alice.get("gw-b", "status")).status == 200
    assert (await ends.bob.fetch("gw-a", *drawn)).keys == drawn


@pytest.mark.parametrize("status", [404, 409, 410])
async def test_consumed_keys(ends: Ends, status: int) -> None:
    drawn = await ends.drawn()
    ends.start(f"consumed-{status}", count=2)
    assert (await ends.bob.fetch("gw-a", *drawn)).keys == drawn
    for key_ids in (list(drawn), [UNKNOWN]):
        assert (await ends.bob.fetch("gw-a", *key_ids)).status == status
    # Only refusals were counted.
    assert (await ends.bob.fetch("gw-a", UNKNOWN)).status == 400


async def test_bad_parameters(ends: Ends) -> None:
    ends.start("parameter-422")
    assert (await ends.alice.draw("gw-b", 1000)).status == 422
    assert len(await ends.drawn()) == 3
    ends.start("expired-403")
    assert (await ends.bob.fetch("gw-a", UNKNOWN)).status == 403


async def test_slow(ends: Ends) -> None:
    ends.start("slow", delay=0.3)
    began = time.monotonic()
    assert len(await ends.drawn()) == 3
    assert time.monotonic() - began >= 0.3
    ends.start("slow-drip", delay=0.001)
    began = time.monotonic()
    assert len(await ends.drawn(1)) == 1
    assert time.monotonic() - began >= 0.1  # some hundred bytes


async def test_connections_that_close(ends: Ends) -> None:
    ends.start("close")
    with pytest.raises(aiohttp.ClientError):
        await ends.alice.draw("gw-b")
    ends.start("drop")
    with pytest.raises(aiohttp.ClientPayloadError):
        await ends.alice.draw("gw-b")
    ends.stop()
    # What was not delivered is lost, as from a real KME.
    status = await ends.alice.get("gw-b", "status")
    assert status.document["stored_key_count"] == 98


async def test_oversized(ends: Ends) -> None:
    ends.start("oversized")
    url = f"{ends.pair.alice.url}/api/v1/keys/gw-b/enc_keys"
    session = ends.alice._session
    received = 0
    async with session.get(url) as response:
        assert "Content-Length" not in response.headers
        async for chunk in response.content.iter_chunked(1 << 16):
            received += len(chunk)
            if received > 4 << 20:
                break
        response.close()
    ends.stop()
    assert len(await ends.drawn()) == 3


@pytest.mark.parametrize("mode", ["garbage", "truncated"])
async def test_bodies_that_are_no_json(ends: Ends, mode: str) -> None:
    ends.start(mode)
    answer = await ends.alice.draw("gw-b")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        json.loads(answer.body)


async def test_deep(ends: Ends) -> None:
    ends.start("deep")
    assert (await ends.alice.draw("gw-b")).body.count(b"[") == 50_000


Check = Callable[[Answer, Answer], None]


def is_wrong(spoiled: Answer, _honest: Answer) -> None:
    assert {len(key) for key in spoiled.keys.values()} == {32}


def is_same(spoiled: Answer, _honest: Answer) -> None:
    assert len(spoiled.keys) == 3
    assert len(set(spoiled.keys.values())) == 1


def has_sizes(*sizes: int) -> Check:
    def check(spoiled: Answer, _honest: Answer) -> None:
        assert {len(key) for key in spoiled.keys.values()} == set(sizes)

    return check


def is_not_base64(spoiled: Answer, _honest: Answer) -> None:
    with pytest.raises(ValueError, match=r"Only base64 data|Incorrect padding"):
        _ = spoiled.keys


def repeats_ids(spoiled: Answer, _honest: Answer) -> None:
    assert len(entries(spoiled)) == 4
    assert len({entry["key_ID"] for entry in entries(spoiled)}) == 1


def lacks_ids(spoiled: Answer, _honest: Answer) -> None:
    assert all(set(entry) == {"key"} for entry in entries(spoiled))


def has_no_uuids(spoiled: Answer, _honest: Answer) -> None:
    for entry in entries(spoiled):
        with pytest.raises(ValueError, match="badly formed"):
            uuid.UUID(str(entry["key_ID"]))


def has(count: int) -> Check:
    def check(spoiled: Answer, _honest: Answer) -> None:
        assert len(spoiled.keys) == count
        assert all(str(uuid.UUID(key_id)) == key_id for key_id in spoiled.keys)

    return check


def is_object(spoiled: Answer, _honest: Answer) -> None:
    keys = spoiled.document["keys"]
    assert isinstance(keys, dict)
    assert all(entry["key_ID"] == key_id for key_id, entry in keys.items())


def is_one_key(spoiled: Answer, _honest: Answer) -> None:
    keys = spoiled.document["keys"]
    assert isinstance(keys, dict)
    assert set(keys) == {"key_ID", "key"}


def has_wrong_types(spoiled: Answer, _honest: Answer) -> None:
    assert all(isinstance(entry["key"], int) for entry in entries(spoiled))


def has_more_members(spoiled: Answer, _honest: Answer) -> None:
    assert spoiled.document["key_container_extension"] is None
    assert all("vendor" in entry for entry in entries(spoiled))


async def test_key_ids_in_other_forms(ends: Ends) -> None:
    upper, long = (
        re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"),
        "Link7/.{64}",
    )
    for mode, form in (("upper-ids", upper), ("long-ids", re.compile(long))):
        ends.start(mode)
        drawn = (await ends.alice.draw("gw-b", 3)).keys
        assert len(drawn) == 3
        assert all(form.fullmatch(text) for text in drawn)
        assert (await ends.bob.fetch("gw-a", str(uuid.uuid4()))).status == 400
        assert (await ends.bob.fetch("gw-a", *drawn)).keys == drawn


SPOILED: dict[str, Check] = {
    "wrong-keys": is_wrong,
    "same-bytes": is_same,
    "short-keys": has_sizes(16),
    "long-keys": has_sizes(64),
    "empty-keys": has_sizes(0),
    "bad-base64": is_not_base64,
    "unpadded": is_not_base64,
    "duplicate-ids": repeats_ids,
    "no-key-id": lacks_ids,
    "bad-key-id": has_no_uuids,
    "extra-keys": has(4),
    "fewer-keys": has(2),
    "keys-object": is_object,
    "single-key-object": is_one_key,
    "wrong-types": has_wrong_types,
    "strange-members": has_more_members,
}


@pytest.mark.parametrize("mode", SPOILED)
async def test_documents(ends: Ends, mode: str) -> None:
    drawn = await ends.drawn()
    ends.start(mode)
    calls: dict[str, Callable[[], Awaitable[Answer]]] = {
        "enc_keys": lambda: ends.alice.draw("gw-b", 3),
        "dec_keys": lambda: ends.bob.fetch("gw-a", *drawn),
    }
    for name, call in calls.items():
        answer = await call()
        if name in MODES[mode].calls:
            SPOILED[mode](answer, answer)
        else:
            assert len(answer.keys) == 3
    if mode == "wrong-keys":
        drawn = await ends.drawn()
        fetched = (await ends.bob.fetch("gw-a", *drawn)).keys
        assert fetched.keys() == drawn.keys()
        assert not set(fetched.values()) & set(drawn.values())


async def test_statuses(ends: Ends) -> None:
    ends.start("count-drift")
    status = (await ends.alice.get("gw-b", "status")).document
    assert status["stored_key_count"] == 1200
    ends.start("no-counts")
    assert "key_size" not in (await ends.alice.get("gw-b", "status")).document
    ends.start("zero-kme-id")
    assert (await ends.alice.get("gw-b", "status")).document["target_KME_ID"] == 0
    ends.start("no-status")
    assert (await ends.alice.get("gw-b", "status")).status == 404
    ends.start("wrong-types")
    status = (await ends.alice.get("gw-b", "status")).document
    assert status["stored_key_count"] == "100"


async def test_replay(ends: Ends) -> None:
    ends.start("replay")
    first = await ends.drawn(1)
    assert await ends.drawn(1) == first
    ends.stop()
    assert await ends.drawn(1) != first


async def test_a_count_ends_by_itself(ends: Ends) -> None:
    ends.start("503", count=3)
    statuses = await asyncio.gather(*(ends.alice.draw("gw-b") for _ in range(5)))
    assert sorted(answer.status for answer in statuses) == [200, 200, 503, 503, 503]
    assert ends.pair.alice.status()["misbehaviour"] is None
    assert ends.pair.alice.status()["misbehaved"] == 3


async def test_nobody_else_is_told_more(ends: Ends, sae: Call) -> None:
    """A misbehaving KME still gives keys to those alone who may have them."""
    for mode in MODES:
        ends.start(mode, delay=0.0001)
        for who, other in (("gw-c", "gw-b"), ("gw-a", "gw-c"), ("gw-b", "gw-a")):
            answer = await sae(who, ends.pair.alice.url).get(other, "enc_keys")
            assert (answer.status, answer.body) == (401, b"")
    assert ends.pair.alice.core.stored == 100


def test_the_table_is_tested_whole() -> None:
    refusals = {"empty", "empty-400", "parameter-422", "expired-403"}
    consumed = {f"consumed-{status}" for status in (401, 403, 404, 409, 410, 503)}
    wires = {"slow", "slow-drip", "close", "drop", "oversized", "garbage", "truncated"}
    others = {"deep", "count-drift", "no-counts", "replay", "zero-kme-id", "no-status"}
    named = {"upper-ids", "long-ids", "keeps-one", "keeps-one-400"}
    tested = (
        refusals | consumed | wires | others | named | SPOILED.keys() | STATUSES.keys()
    )
    assert tested == MODES.keys()
    assert all(mode.explanation for mode in MODES.values())


async def test_orders_are_checked(pair: KMEPair) -> None:
    for mode, count, delay in (
        ("nonsense", 1, 1.0),
        ("503", 0, 1.0),
        ("slow", 1, -1.0),
        ("slow", 1, float("nan")),
        ("slow", 1, 1e9),
    ):
        with pytest.raises(KMEError):
            pair.alice.misbehaviour.start(mode, count=count, delay=delay)
    assert pair.alice.misbehaviour.mode is None
