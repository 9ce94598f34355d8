"""The client against our own KME, honest and in every way that it can misbehave."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from doubles.kme_pair import KMEPair

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import KeySourceError, SourceFault
from gateway.kme.misbehaviour.modes import BUSY, MODES
from gateway.sources.base import Delivery, KeyClient
from gateway.sources.clients import make_client
from gateway.wire.key_ids import is_uuid, key_id_text, parse_key_id
from tests.unit.sources.conftest import Waits
from tests.unit.sources.leaks import failure_of, fault_of

COUNT = 3

DELAYS = {"slow": 1.2, "slow-drip": 0.2}
"""Seconds: whole answers take longer than the client's patience, teardown does not."""


@dataclass(frozen=True, slots=True)
class Brings:
    """What a call brings although the KME misbehaves.

    Attributes:
        keys: How many good keys.
        missing: How many are called missing, of those asked for by key_ID.
        refused: Reasons why others were left out.
    """

    keys: int
    missing: int = 0
    refused: tuple[str, ...] = ()


ALL = Brings(COUNT)
NO_IDS = Brings(0, COUNT, ("malformed",) * COUNT)
FAULT = SourceFault

Outcome = SourceFault | Brings
EXPECTED: dict[str, Outcome | dict[str, Outcome]] = {
    "slow": FAULT.TIMEOUT,
    "slow-drip": FAULT.TIMEOUT,
    "close": FAULT.UNREACHABLE,
    "drop": FAULT.UNREACHABLE,
    "oversized": FAULT.OVERSIZED,
    "garbage": FAULT.MALFORMED,
    "truncated": FAULT.MALFORMED,
    "deep": FAULT.OVERSIZED,
    "503": {
        "status": FAULT.OVERLOADED,
        "enc_keys": FAULT.OVERLOADED,
        # Just told its status, it knows us and is well: so it is the keys.
        "dec_keys": Brings(0, COUNT),
    },
    "500": FAULT.SERVER,
    "429": FAULT.OVERLOADED,
    "empty": FAULT.EMPTY,
    "empty-400": FAULT.EMPTY,
    "500-detail": FAULT.SERVER,
    "500-error": FAULT.SERVER,
    "500-problem": FAULT.SERVER,
    "keeps-one": ALL,
    "keeps-one-400": ALL,
    "consumed-401": ALL,
    "consumed-403": ALL,
    "consumed-503": ALL,
    "consumed-404": ALL,
    "consumed-409": ALL,
    "consumed-410": ALL,
    "parameter-422": ALL,
    "expired-403": Brings(0, COUNT),
    "certificate-400": FAULT.UNAUTHORIZED,
    "certificate-401": {
        "status": FAULT.UNAUTHORIZED,
        "enc_keys": FAULT.UNAUTHORIZED,
        "dec_keys": Brings(0, COUNT),
    },
    "certificate-404": FAULT.UNAUTHORIZED,
    "redirect": FAULT.MALFORMED,
    "html": FAULT.SERVER,
    # Other bytes than the peer's, or the same twice: the stock keeper's check value and
    # the store find that out.
    "wrong-keys": ALL,
    "same-bytes": ALL,
    "short-keys": Brings(0, 0, ("short",) * COUNT),
    "long-keys": Brings(0, 0, ("long",) * COUNT),
    "empty-keys": Brings(0, 0, ("short",) * COUNT),
    "bad-base64": Brings(0, 0, ("malformed",) * COUNT),
    "unpadded": Brings(0, 0, ("malformed",) * COUNT),
    "zero-kme-id": ALL,
    "no-status": FAULT.REJECTED,
    "duplicate-ids": {
        "dec_keys": Brings(0, COUNT - 1, ("duplicate",) * (COUNT + 1)),
        "enc_keys": Brings(0, 0, ("duplicate",) * (COUNT + 1)),
    },
    "no-key-id": NO_IDS,
    "bad-key-id": NO_IDS,
    # Keys drawn before, under the names that they have otherwise: it has none of them.
    "upper-ids": {"enc_keys": ALL, "dec_keys": ALL},
    "long-ids": {"enc_keys": ALL, "dec_keys": Brings(0, COUNT)},
    "extra-keys": Brings(COUNT, 0, ("unasked",)),
    "fewer-keys": Brings(COUNT - 1, 1),
    "keys-object": ALL,
    "single-key-object": Brings(1, COUNT - 1),
    "wrong-types": {
        "status": FAULT.MALFORMED,
        "enc_keys": Brings(0, 0, ("malformed",) * COUNT),
        "dec_keys": Brings(0, 0, ("malformed",) * COUNT),
    },
    "strange-members": ALL,
    "count-drift": ALL,
    "no-counts": ALL,
    "replay": {"enc_keys": ALL, "dec_keys": Brings(0, COUNT, ("unasked",) * COUNT)},
}


class Laboratory:
    """Two KMEs, and a client at each."""

    def __init__(self, pair: KMEPair, waits: Waits, timeout: float) -> None:
        self.pair = pair
        self._timeout = timeout
        self.a = self._client("gw-a", "gw-b", pair.alice.url, waits)
        self.b = self._client("gw-b", "gw-a", pair.bob.url, waits)

    def _client(self, ours: str, peers: str, url: str, waits: Waits) -> KeyClient:
        files = self.pair.credentials[ours]
        config = KMEConfig(
            (url,),
            ours,
            peers,
            self.pair.ca,
            files.certificate,
            files.private_key,
            timeout=self._timeout,
        )
        link = LinkConfig("laboratory", LinkSource.ETSI014, kme=config)
        return make_client(link, patience=waits.patience)

    async def close(self) -> None:
        """Let go of both."""
        await self.a.close()
        await self.b.close()

    async def draw(self) -> list[UUID]:
        """Draw keys at one end, and name them."""
        return [key.key_id for key in (await self.a.get_keys(COUNT)).keys]

    async def keys_match(self) -> None:
        """Honest again, they serve as if nothing had been.

        Who refused even a single key is asked for a single one first.
        """
        await self.a.get_keys(1)
        drawn = {k.key_id: k.key.expose() for k in (await self.a.get_keys(COUNT)).keys}
        fetched = (await self.b.get_keys_with_ids(list(drawn))).keys
        assert {key.key_id: key.key.expose() for key in fetched} == drawn
        assert len(drawn) == COUNT


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KMEPair]:
    """One pair for all modes: each test leaves it honest, and shows it."""
    folder = tmp_path_factory.mktemp("own-kme") / "pair"
    async with KMEPair(folder, requests_per_second=0) as made:
        await made.make_keys(8 * COUNT * sum(len(m.calls) for m in MODES.values()))
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def laboratory(
    request: pytest.FixtureRequest, pair: KMEPair, waits: Waits
) -> AsyncIterator[Laboratory]:
    is_slow = request.node.callspec.params["mode"] in DELAYS
    made = Laboratory(pair, waits, 0.7 if is_slow else 10.0)
    yield made
    pair.alice.misbehaviour.stop()
    pair.bob.misbehaviour.stop()
    await made.close()


def test_every_mode_is_expected() -> None:
    assert set(EXPECTED) == set(MODES)


@pytest.mark.parametrize(
    ("mode", "call"),
    [(mode.name, call) for mode in MODES.values() for call in sorted(mode.calls)],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_misbehaviour(laboratory: Laboratory, mode: str, call: str) -> None:
    expected = EXPECTED[mode]
    if isinstance(expected, dict):
        expected = expected[call]
    await laboratory.a.get_status()
    await laboratory.b.get_status()
    wanted = await laboratory.draw()
    kme = laboratory.pair.bob if call == "dec_keys" else laboratory.pair.alice
    kme.misbehaviour.start(mode, delay=DELAYS.get(mode, 0.0))
    calls: dict[str, Any] = {
        "status": laboratory.a.get_status,
        "enc_keys": lambda: laboratory.a.get_keys(COUNT),
        "dec_keys": lambda: laboratory.b.get_keys_with_ids(wanted),
    }
    if mode == "replay":
        await (calls[call]() if call == "enc_keys" else _fetch_others(laboratory))
    if isinstance(expected, SourceFault):
        with pytest.raises(KeySourceError) as caught:
            await calls[call]()
        assert caught.value.fault is expected
        assert (caught.value.source, caught.value.call) == (kme.url, call)
    else:
        _compare(await calls[call](), expected, call)
    kme.misbehaviour.stop()
    await laboratory.keys_match()


async def _fetch_others(laboratory: Laboratory) -> None:
    await laboratory.b.get_keys_with_ids(await laboratory.draw())


def _compare(found: object, expected: Brings, call: str) -> None:
    if not isinstance(found, Delivery):
        assert call == "status"
        return
    assert len(found.keys) == expected.keys
    assert len(found.missing) == (expected.missing if call == "dec_keys" else 0)
    assert tuple(refusal.reason for refusal in found.refused) == expected.refused


@pytest.mark.parametrize("mode", ["500-detail", "500-error", "500-problem"])
@pytest.mark.asyncio(loop_scope="module")
async def test_its_words_are_shown_wherever_they_stand(
    laboratory: Laboratory, mode: str
) -> None:
    laboratory.pair.alice.misbehaviour.start(mode)
    for call in (laboratory.a.get_status(), laboratory.a.get_keys(1)):
        assert BUSY in (await failure_of(call)).message


@pytest.mark.parametrize("mode", ["upper-ids", "long-ids"])
@pytest.mark.asyncio(loop_scope="module")
async def test_key_ids_go_back_as_they_came(laboratory: Laboratory, mode: str) -> None:
    """What one KME writes is what the other is asked for: it takes nothing else."""
    laboratory.pair.alice.misbehaviour.start(mode)
    laboratory.pair.bob.misbehaviour.start(mode)
    drawn = (await laboratory.a.get_keys(COUNT)).keys
    texts = [key_id_text(key.key_id) for key in drawn]
    assert all(is_uuid(key.key_id) == (mode == "upper-ids") for key in drawn)
    told = [parse_key_id(text) for text in texts]  # as the peer is told of them
    fetched = await laboratory.b.get_keys_with_ids([one for one in told if one])
    assert {key.key_id: key.key for key in fetched.keys} == {
        key.key_id: key.key for key in drawn
    }
    assert [key_id_text(key.key_id) for key in fetched.keys] == texts
    assert not fetched.missing


@pytest.mark.parametrize("mode", sorted(m for m in MODES if "consumed" in m))
@pytest.mark.asyncio(loop_scope="module")
async def test_consumed_keys_in_dialect(laboratory: Laboratory, mode: str) -> None:
    wanted = await laboratory.draw()
    lost = uuid4()
    laboratory.pair.bob.misbehaviour.start(mode)
    delivery = await laboratory.b.get_keys_with_ids([*wanted, lost])
    assert delivery.missing == (lost,)
    assert [key.key_id for key in delivery.keys] == wanted


async def test_empty_pool(tmp_path: Path, waits: Waits) -> None:
    """To the last key, and then it is said that there are none."""
    async with KMEPair(tmp_path / "pair") as pair:
        await pair.make_keys(100)
        laboratory = Laboratory(pair, waits, 10.0)
        first = await laboratory.a.get_keys(30)
        second = await laboratory.a.get_keys(30)
        assert (len(first.keys), len(second.keys)) == (30, 20)
        assert await fault_of(laboratory.a.get_keys(30)) is SourceFault.EMPTY
        status = await laboratory.a.get_status()
        assert status.stored_key_count == 0
        assert status.notes == ()
        await laboratory.close()


async def test_the_best_group_that_both_ends_have_is_agreed(
    tmp_path: Path, waits: Waits
) -> None:
    """X25519MLKEM768 where OpenSSL has it, without being told to."""
    async with KMEPair(tmp_path / "pair") as pair:
        laboratory = Laboratory(pair, waits, 10.0)
        group = (await laboratory.a.get_status()).tls_group
        await laboratory.close()
    is_newest = ssl.OPENSSL_VERSION_INFO >= (3, 5)
    assert group == ("X25519MLKEM768" if is_newest else "x25519")
