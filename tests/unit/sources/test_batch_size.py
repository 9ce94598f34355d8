"""How many keys a KME gives at once: found out by halving, and remembered."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import SourceFault
from gateway.sources.etsi014.batch_size import REFUSAL_KEPT, BatchSize
from tests.unit.sources.conftest import MakeClient
from tests.unit.sources.hostile import Answering, Asked, HostileKME, reply
from tests.unit.sources.leaks import failure_of

WORDS = ("no", "exceeds the permitted number", "not enough keys", "certificate", "")


def stingy(
    kme: HostileKME, stock: Callable[[], int], status: int, words: str
) -> Answering:
    """Make a KME refuse, as a whole, a request for more than it would give."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        number = int((asked.members or asked.query).get("number", 1))
        good = number <= stock()
        body: Any = {"message": words}
        writer.write(kme.good_answer(asked) if good else reply(body, status))

    return answer


def numbers(kme: HostileKME) -> list[int]:
    return [asked.members["number"] for asked in kme.calls("enc_keys")]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 503])
@pytest.mark.parametrize("words", WORDS)
async def test_one_that_keeps_a_key_back_gives_all_others(
    kme: HostileKME, make: MakeClient, status: int, words: str
) -> None:
    """It says that it has 40, and gives 39, whatever it calls that."""
    left = 40
    kme.status = {"stored_key_count": 40}
    kme.replies["enc_keys"] = [stingy(kme, lambda: left - 1, status, words)]
    client = make(kme)
    got = 0
    for _ in range(8):
        if left == 1:
            break
        keys = (await client.get_keys(64)).keys
        got += len(keys)
        left -= len(keys)
        kme.status = {"stored_key_count": left}
    assert got == 39
    assert (await failure_of(client.get_keys(64))).calls == 1
    assert max(numbers(kme)[1:]) <= 40


async def test_what_worked_is_remembered(kme: HostileKME, make: MakeClient) -> None:
    """Not a call in two is lost to a KME that gives fewer than it says."""
    kme.replies["enc_keys"] = [stingy(kme, lambda: 20, 400, "too many")]
    client = make(kme)
    for _ in range(5):
        assert len((await client.get_keys(64)).keys) == 16
    assert numbers(kme) == [64, 32, 16, 16, 16, 16, 16]


async def test_calls_are_told_for_the_budget(kme: HostileKME, make: MakeClient) -> None:
    kme.replies["enc_keys"] = [stingy(kme, lambda: 20, 400, "too many")]
    client = make(kme)
    assert (await client.get_keys(64)).calls == 3
    assert (await client.get_keys(64)).calls == 1
    kme.replies["enc_keys"] = [stingy(kme, lambda: 0, 400, "no")]
    assert (await failure_of(client.get_keys(64))).calls == 5


@pytest.mark.parametrize("status", [401, 429])
async def test_who_is_told_to_stay_away_does_not_ask_for_fewer(
    kme: HostileKME, make: MakeClient, status: int
) -> None:
    kme.replies["enc_keys"] = [stingy(kme, lambda: 0, status, "not enough keys")]
    await failure_of(make(kme).get_keys(64))
    assert set(numbers(kme)) == {64}


async def test_an_empty_one_is_not_asked_again_and_again(
    kme: HostileKME, make: MakeClient
) -> None:
    kme.status = {"stored_key_count": 0}
    kme.replies["enc_keys"] = [stingy(kme, lambda: 0, 503, "")]
    client = make(kme)
    assert (await failure_of(client.get_keys(64))).fault is SourceFault.EMPTY
    assert numbers(kme) == [64]


@pytest.mark.parametrize(
    ("stored", "fault"), [(3, SourceFault.EMPTY), (25_000, SourceFault.OVERLOADED)]
)
async def test_drained_is_not_overloaded(
    kme: HostileKME, make: MakeClient, stored: int, fault: SourceFault
) -> None:
    """It is well, says its status, and keeps its last keys."""
    kme.status = {"stored_key_count": stored}
    kme.replies["enc_keys"] = [stingy(kme, lambda: 0, 503, "")]
    assert (await failure_of(make(kme).get_keys(64))).fault is fault


async def test_an_answer_without_keys_is_a_refusal_too(
    kme: HostileKME, make: MakeClient
) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        few = asked.members["number"] <= 10
        writer.write(kme.good_answer(asked) if few else reply({"keys": []}))

    kme.replies["enc_keys"] = [answer]
    assert len((await make(kme).get_keys(64)).keys) == 8


def test_more_is_asked_for_again_in_a_while() -> None:
    now = 0.0
    size = BatchSize(lambda: now)
    size.refused(64)
    size.given(32)
    assert size.bound(64) == 32
    now = REFUSAL_KEPT
    size.given(32)
    assert size.bound(64) == 64
    size.refused(64)
    size.given(32)
    assert size.bound(64) == 32


def test_one_that_had_none_is_asked_for_all_once_it_has() -> None:
    size = BatchSize(lambda: 0.0)
    for number in (64, 32, 16, 8, 4, 2, 1):
        assert size.bound(64) == number
        size.refused(number)
    assert size.bound(64) == 1
    size.given(1)
    assert size.bound(64) == 64


def test_a_smaller_wish_teaches_nothing() -> None:
    size = BatchSize(lambda: 0.0)
    size.refused(64)
    size.given(4)
    assert size.bound(64) == 32
