"""Several KMEs of one link: who is asked, when, and whose word counts."""

import contextlib
import logging
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from gateway.errors import KeySourceError, SourceFault
from gateway.keystore.base import NewKey, Refusal
from gateway.secret import Secret
from gateway.sources.base import Delivery, KMEStatus
from gateway.sources.failover import (
    FIRST_PAUSE,
    GIVEN_UP_AFTER,
    MAX_PAUSE,
    FailoverClient,
)
from tests.unit.sources.conftest import MakeClient, MakeKME
from tests.unit.sources.leaks import failure_of

DOWN = SourceFault.UNREACHABLE


class Scripted:
    """A KME that does as it is told, without a network."""

    def __init__(self, name: str) -> None:
        self.link = "redu"
        self.description = f"KME {name}"
        self.source = f"https://{name}"
        self.fault: SourceFault | None = None
        self.held: set[UUID] = set()
        self.refused: tuple[Refusal, ...] = ()
        self.calls = 0
        self.is_closed = False

    def answer(self, call: str) -> None:
        """Count a call, and fail if told so."""
        self.calls += 1
        if self.fault:
            raise KeySourceError(
                "told so", source=self.source, call=call, fault=self.fault
            )

    async def get_keys(self, count: int) -> Delivery:
        """Draw."""
        self.answer("enc_keys")
        return Delivery(tuple(key_of(uuid4()) for _ in range(count)))

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        """Fetch."""
        self.answer("dec_keys")
        found = [key_id for key_id in key_ids if key_id in self.held]
        missing = [key_id for key_id in key_ids if key_id not in self.held]
        return Delivery(tuple(map(key_of, found)), tuple(missing), self.refused)

    async def get_status(self) -> KMEStatus:
        """Tell."""
        self.answer("status")
        return KMEStatus(self.source, "", "", 256, None, None, 1, ("odd",))

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True


def key_of(key_id: UUID) -> NewKey:
    """Make a key."""
    return NewKey(key_id, Secret(key_id.bytes * 2))


class Setting:
    """Three KMEs under a clock by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.kmes = [Scripted("first"), Scripted("second"), Scripted("third")]
        self.client = FailoverClient(self.kmes, lambda: self.now)

    async def asked(self) -> list[int]:
        """Draw a key, and list who was asked."""
        before = [kme.calls for kme in self.kmes]
        with contextlib.suppress(KeySourceError):
            await self.client.get_keys(1)
        return [
            place for place, kme in enumerate(self.kmes) if kme.calls > before[place]
        ]


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_preferred_one_is_asked(setting: Setting) -> None:
    assert await setting.asked() == [0]
    assert setting.client.link == "redu"
    assert setting.client.description == "KME first (2 more KMEs)"


async def test_next_one_takes_over_and_keeps(setting: Setting) -> None:
    setting.kmes[0].fault = DOWN
    assert await setting.asked() == [0, 1]
    assert await setting.asked() == [1]
    setting.kmes[0].fault = None
    assert await setting.asked() == [1]
    assert (await setting.client.get_status()).source == "https://second"


async def test_preferred_one_is_tried_again_after_a_pause(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    setting.kmes[0].fault = DOWN
    await setting.asked()
    setting.now += FIRST_PAUSE
    assert await setting.asked() == [0, 1]
    setting.now += FIRST_PAUSE
    assert await setting.asked() == [1]
    setting.kmes[0].fault = None
    setting.now += FIRST_PAUSE
    assert await setting.asked() == [0]
    assert await setting.asked() == [0]
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [
        "link redu: KME first: fails: https://first: enc_keys: told so",
        "link redu: KME second: is used now",
        "link redu: KME first: works again",
        "link redu: KME first: is used now",
    ]


async def test_pause_is_bounded(setting: Setting) -> None:
    setting.kmes[0].fault = DOWN
    for _ in range(40):
        await setting.asked()
        setting.now += MAX_PAUSE
    assert await setting.asked() == [0, 1]


async def test_all_are_tried_before_giving_up(setting: Setting) -> None:
    for kme in setting.kmes:
        kme.fault = DOWN
    for _ in range(3):
        assert await setting.asked() == [0, 1, 2]
    setting.kmes[2].fault = None
    assert await setting.asked() == [0, 1, 2]
    assert await setting.asked() == [2]


async def test_empty_kme_is_well(setting: Setting) -> None:
    setting.kmes[0].fault = SourceFault.EMPTY
    assert await setting.asked() == [0, 1]
    assert await setting.asked() == [0, 1]
    setting.kmes[0].fault = None
    assert await setting.asked() == [0]


async def test_emptiness_is_told_rather_than_a_failure(setting: Setting) -> None:
    setting.kmes[0].fault = DOWN
    setting.kmes[1].fault = setting.kmes[2].fault = SourceFault.EMPTY
    error = await failure_of(setting.client.get_keys(1))
    assert (error.fault, error.source) == (SourceFault.EMPTY, "https://second")
    # The one that is down is not waited for again.
    assert await setting.asked() == [1, 2]


async def test_first_failure_is_told(setting: Setting) -> None:
    setting.kmes[0].fault = SourceFault.CERTIFICATE
    setting.kmes[1].fault = setting.kmes[2].fault = DOWN
    error = await failure_of(setting.client.get_keys(1))
    assert error.fault is SourceFault.CERTIFICATE


async def test_keys_that_one_lacks_are_asked_of_others(setting: Setting) -> None:
    ids = [uuid4() for _ in range(4)]
    setting.kmes[0].held = {ids[0]}
    setting.kmes[1].held = {ids[1]}
    setting.kmes[2].held = {ids[2]}
    setting.kmes[1].refused = (Refusal("keys[9]", "malformed"),)
    delivery = await setting.client.get_keys_with_ids(ids)
    assert [key.key_id for key in delivery.keys] == ids[:3]
    assert delivery.missing == (ids[3],)
    assert len(delivery.refused) == 1


async def test_nothing_is_missing_that_a_failing_kme_may_have(
    setting: Setting,
) -> None:
    """Until it has failed often: then what it has is lost for now."""
    ids = [uuid4(), uuid4()]
    setting.kmes[0].fault = DOWN
    setting.kmes[1].held = {ids[0]}
    for _ in range(GIVEN_UP_AFTER - 1):
        delivery = await setting.client.get_keys_with_ids(ids)
        assert [key.key_id for key in delivery.keys] == [ids[0]]
        assert not delivery.missing
        setting.now += MAX_PAUSE
    delivery = await setting.client.get_keys_with_ids(ids)
    assert not delivery.missing
    # In its pause it is not asked, and no longer waited for.
    delivery = await setting.client.get_keys_with_ids(ids)
    assert delivery.missing == (ids[1],)


async def test_nothing_found_and_somebody_down_is_a_failure(setting: Setting) -> None:
    setting.kmes[1].fault = DOWN
    error = await failure_of(setting.client.get_keys_with_ids([uuid4()]))
    assert error.fault is DOWN
    # In its pause: nothing is decided.
    delivery = await setting.client.get_keys_with_ids([uuid4()])
    assert (delivery.keys, delivery.missing) == ((), ())


async def test_status_tells_of_the_others(setting: Setting) -> None:
    setting.kmes[0].fault = DOWN
    await setting.asked()
    notes = (await setting.client.get_status()).notes
    assert notes == (
        "odd",
        "another KME of this link fails: https://first: enc_keys: told so",
    )


async def test_close_closes_all(setting: Setting) -> None:
    await setting.client.close()
    assert all(kme.is_closed for kme in setting.kmes)


async def test_over_real_kmes(make_kme: MakeKME, make: MakeClient) -> None:
    """One dies in mid-service; keys come from the other."""
    first, second = await make_kme(), await make_kme()
    client = make(first, second)
    assert len((await client.get_keys(2)).keys) == 2
    ids = second.fill(3)
    assert len((await client.get_keys_with_ids(ids)).keys) == 3
    await first.stop()
    assert len((await client.get_keys(2)).keys) == 2
    assert len(second.calls("enc_keys")) == 1
    assert (await client.get_status()).source == second.url
