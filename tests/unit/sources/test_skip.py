"""The SKIP client against a key provider over real TLS."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from gateway.config.model import LinkSource
from gateway.errors import SourceFault
from gateway.sources.skip.batch import CONCURRENCY
from gateway.sources.skip.client import SKIPClient
from tests.unit.sources.conftest import PEERS, MakeClient
from tests.unit.sources.hostile import Asked, HostileKME, reply
from tests.unit.sources.leaks import everything_of, failure_of, shown_parts

SKIP = LinkSource.SKIP
CAPABILITIES: dict[str, Any] = {
    "entropy": True,
    "key": True,
    "algorithm": "PRF",
    "localSystemID": "sae-redu",
    "remoteSystemID": ["sae-*"],
}


class KeyProvider:
    """Makes a KME answer as a SKIP key provider."""

    def __init__(self, kme: HostileKME) -> None:
        self.kme = kme
        self.at_once = 0
        self.most_at_once = 0
        kme.replies["capabilities"] = [reply(CAPABILITIES)]
        kme.replies["key"] = [self.answer]

    async def answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        """Draw a key, or serve one from the pool."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        parts = urlsplit(asked.target).path.strip("/").split("/")
        if len(parts) == 1:
            key_id, key = self.kme.new_key()
        elif (key_id := UUID(parts[1])) in self.kme.pool:
            key = self.kme.pool.pop(key_id)
        else:
            writer.write(reply(b"", 400))
            return
        writer.write(answer_of(key_id, key))


def answer_of(key_id: UUID, key: bytes) -> bytes:
    """Write a key."""
    return reply({"keyId": key_id.hex.upper(), "key": key.hex()})


@pytest.fixture
def provider(kme: HostileKME) -> KeyProvider:
    return KeyProvider(kme)


async def test_draws_keys(
    kme: HostileKME, provider: KeyProvider, make: MakeClient
) -> None:
    delivery = await make(kme, source=SKIP, peer_sae_id="sae/b?d").get_keys(10)
    assert {key.key.expose() for key in delivery.keys} == set(kme.made)
    assert len(delivery.keys) == 10
    assert provider.most_at_once <= CONCURRENCY
    assert kme.connections <= CONCURRENCY
    assert {asked.method for asked in kme.asked} == {"GET"}
    assert {asked.target for asked in kme.asked} == {
        "/key?remoteSystemID=sae%2Fb%3Fd&size=256"
    }


async def test_fetches_keys_by_id(
    kme: HostileKME, provider: KeyProvider, make: MakeClient
) -> None:
    ids = kme.fill(6)
    lost = uuid4()
    delivery = await make(kme, source=SKIP).get_keys_with_ids([*ids, lost, ids[0]])
    assert {key.key_id for key in delivery.keys} == set(ids)
    assert {key.key.expose() for key in delivery.keys} == set(kme.made)
    assert delivery.missing == (lost,)
    assert kme.asked[0].target == f"/key/{ids[0].hex}?remoteSystemID={PEERS}"


async def test_batch_bounds_what_is_asked(
    kme: HostileKME, provider: KeyProvider, make: MakeClient
) -> None:
    client = make(kme, source=SKIP, batch=3)
    assert len((await client.get_keys(10)).keys) == 3
    assert not (await client.get_keys(0)).keys
    assert len((await client.get_keys_with_ids(kme.fill(5))).keys) == 3


async def test_status(kme: HostileKME, provider: KeyProvider, make: MakeClient) -> None:
    status = await make(kme, source=SKIP).get_status()
    assert status.source_kme_id == "sae-redu"
    assert status.stored_key_count is None
    assert status.max_key_per_request == 1
    assert status.notes == ()


async def test_capabilities_that_do_not_fit_are_noted(
    kme: HostileKME, provider: KeyProvider, make: MakeClient
) -> None:
    odd = {"localSystemID": "x", "remoteSystemID": ["y", "SAE-*"], "key": False}
    kme.replies["capabilities"] = [reply({**CAPABILITIES, **odd})]
    notes = " ".join((await make(kme, source=SKIP).get_status()).notes)
    assert f"does not list {PEERS}" in notes
    assert "calls itself x" in notes
    assert "gives no keys" in notes


@pytest.mark.parametrize(
    "odd",
    [
        {"remoteSystemID": None},
        {"remoteSystemID": [7]},
        {"remoteSystemID": ["x"] * 2000},
        {"localSystemID": 5},
        {"localSystemID": "x" * 300},
        {"algorithm": {}},
        {"key": "yes"},
        {"entropy": 1},
    ],
)
async def test_mistyped_capabilities(
    kme: HostileKME, provider: KeyProvider, make: MakeClient, odd: dict[str, object]
) -> None:
    kme.replies["capabilities"] = [reply({**CAPABILITIES, **odd})]
    error = await failure_of(make(kme, source=SKIP).get_status())
    assert error.fault is SourceFault.MALFORMED
    assert error.call == "capabilities"


async def test_entropy(
    kme: HostileKME, provider: KeyProvider, make: MakeClient
) -> None:
    client = make(kme, source=SKIP)
    assert isinstance(client, SKIPClient)
    sample = bytes(range(16))
    kme.replies["entropy"] = [reply({"randomStr": sample.hex(), "minentropy": 128})]
    assert (await client.get_entropy(16)).expose() == sample
    assert kme.asked[0].target == "/entropy?minentropy=128"
    assert (await failure_of(client.get_entropy(32))).fault is SourceFault.MALFORMED
    kme.replies["entropy"] = [reply(b"", 503)]
    assert (await failure_of(client.get_entropy())).fault is SourceFault.OVERLOADED


ID, KEY = UUID("6f1b3a3e-7f5c-4b2e-9d0a-2f5b8c1d4e6f"), bytes(range(100, 132))
BAD_ANSWERS = {
    "short": ({"keyId": ID.hex, "key": KEY[:16].hex()}, str(ID), "short"),
    "long": ({"keyId": ID.hex, "key": KEY.hex() * 2}, str(ID), "long"),
    "odd": ({"keyId": ID.hex, "key": KEY.hex()[1:]}, str(ID), "malformed"),
    "no hexadecimal": ({"keyId": ID.hex, "key": "z" * 64}, str(ID), "malformed"),
    "not ASCII": ({"keyId": ID.hex, "key": "٣" * 64}, str(ID), "malformed"),
    "number": ({"keyId": ID.hex, "key": 5}, str(ID), "malformed"),
    "keyId of 65 bytes": ({"keyId": "0" * 130, "key": KEY.hex()}, "keyId", "malformed"),
    "keyId with hyphens": ({"keyId": str(ID), "key": KEY.hex()}, "keyId", "malformed"),
    "keyId is the key": ({"keyId": KEY.hex(), "key": ID.hex}, "keyId", "short"),
    "both are the key": ({"keyId": KEY.hex(), "key": KEY.hex()}, "keyId", "malformed"),
    "keyId is null": ({"keyId": None, "key": KEY.hex()}, "keyId", "malformed"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_bad_key_is_refused(kme: HostileKME, make: MakeClient, name: str) -> None:
    content, place, reason = BAD_ANSWERS[name]
    kme.made.append(KEY)
    kme.replies["key"] = [reply(content)]
    client = make(kme, source=SKIP)
    delivery = await client.get_keys(1)
    assert not delivery.keys
    assert [(r.key_id, r.reason) for r in delivery.refused] == [(place, reason)]
    delivery = await client.get_keys_with_ids([ID])
    assert not delivery.keys
    assert not delivery.missing
    assert len(delivery.refused) == 1
    assert not shown_parts(repr(delivery), [KEY])


async def test_other_key_than_asked_is_refused(
    kme: HostileKME, make: MakeClient
) -> None:
    kme.replies["key"] = [answer_of(ID, KEY)]
    delivery = await make(kme, source=SKIP).get_keys_with_ids([uuid4()])
    assert [(r.key_id, r.reason) for r in delivery.refused] == [(str(ID), "unasked")]


async def test_same_key_again_is_refused(kme: HostileKME, make: MakeClient) -> None:
    kme.replies["key"] = [answer_of(ID, KEY)]
    delivery = await make(kme, source=SKIP).get_keys(3)
    assert len(delivery.keys) == 1
    assert [r.reason for r in delivery.refused] == ["duplicate"] * 2


async def test_two_keys_under_one_id_are_both_refused(
    kme: HostileKME, make: MakeClient
) -> None:
    first, second = answer_of(ID, KEY), answer_of(ID, KEY[::-1])
    kme.replies["key"] = [first, second, second]
    delivery = await make(kme, source=SKIP).get_keys(3)
    assert not delivery.keys
    assert [r.reason for r in delivery.refused] == ["duplicate"] * 3


async def test_batch_takes_no_longer_than_its_tries(
    kme: HostileKME, make: MakeClient
) -> None:
    """What has come by then is kept."""

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        writer.write(answer_of(*kme.new_key()))

    kme.replies["key"] = [answer]
    started = asyncio.get_running_loop().time()
    delivery = await make(kme, source=SKIP, timeout=0.6).get_keys(64)
    assert asyncio.get_running_loop().time() - started < 4
    assert 0 < len(delivery.keys) < 64


async def test_batch_without_any_answer_is_late(
    kme: HostileKME, make: MakeClient
) -> None:
    async def silence(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    kme.replies["key"] = [silence]
    client = make(kme, source=SKIP, timeout=0.3)
    wanted = [uuid4() for _ in range(64)]
    error = await failure_of(client.get_keys_with_ids(wanted))
    assert (error.fault, error.call) == (SourceFault.TIMEOUT, "key")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        json.dumps({"key": KEY.hex()}).encode(),
        json.dumps([KEY.hex()]).encode(),
        json.dumps({"keyId": ID.hex, "key": KEY.hex()}).encode()[:-2],
        b"{" + KEY.hex().encode(),
    ],
)
async def test_malformed_answers(
    kme: HostileKME, make: MakeClient, body: bytes
) -> None:
    kme.made.append(KEY)
    kme.replies["key"] = [reply(body)]
    error = await failure_of(make(kme, source=SKIP).get_keys(8))
    assert error.fault is SourceFault.MALFORMED
    assert not shown_parts(everything_of(error), [KEY])
    assert len(kme.calls("key")) <= CONCURRENCY


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, b"", SourceFault.REJECTED),
        (401, b"", SourceFault.UNAUTHORIZED),
        (404, b"", SourceFault.REJECTED),
        (500, b"", SourceFault.SERVER),
        (503, b"", SourceFault.OVERLOADED),
        (503, b'{"message": "no more keys"}', SourceFault.EMPTY),
    ],
)
async def test_errors_of_a_new_key(
    kme: HostileKME, make: MakeClient, status: int, body: bytes, fault: SourceFault
) -> None:
    kme.replies["key"] = [reply(body, status)]
    error = await failure_of(make(kme, source=SKIP).get_keys(1))
    assert (error.fault, error.call) == (fault, "key")


async def test_wrong_url_is_not_a_missing_key(
    kme: HostileKME, make: MakeClient
) -> None:
    """Whoever has no capabilities is no key provider, and its 404 says nothing."""
    client = make(kme, source=SKIP)
    error = await failure_of(client.get_keys_with_ids([ID]))
    assert error.fault is SourceFault.REJECTED


async def test_keys_that_came_survive_a_failure(
    kme: HostileKME, make: MakeClient
) -> None:
    good = [answer_of(*kme.new_key()) for _ in range(2)]
    kme.replies["key"] = [*good, reply(b"", 401)]
    delivery = await make(kme, source=SKIP).get_keys(20)
    assert len(delivery.keys) == 2
    assert len(kme.calls("key")) <= 2 + CONCURRENCY
