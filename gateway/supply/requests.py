"""Requests of the supply machine to its driver, and the jobs that make them.

The machine performs no I/O and reads no clock. Each of its jobs is a generator that
yields one request after the other; the driver does what is asked, and resumes the job
with the answer, or with the error that the request documents. A job that is closed, or
never resumed, has left the machine as if its last request had not been answered.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from gateway.keystore.base import ImportReport, KeyStanding, NewKey, StockStatus
from gateway.sources.base import Delivery
from gateway.wire.control import StockMessage

R = TypeVar("R")


class SupplyRequest(Generic[R]):
    """A request that is answered with an `R`."""

    __slots__ = ()


Job = Generator[SupplyRequest[Any], Any, R]
"""A piece of work that ends with an `R`."""


def ask(request: SupplyRequest[R]) -> Job[R]:
    """Make one request in a job, as ``status = yield from`` this."""
    answer: R = yield request
    return answer


# -- Of the world


@dataclass(frozen=True, slots=True)
class ReadClock(SupplyRequest[float]):
    """Asks for monotonic seconds, after a request that may have taken long."""


@dataclass(frozen=True, slots=True)
class Send(SupplyRequest[bool]):
    """Asks to send a message to the peer; answered False if nothing can carry it.

    Attributes:
        message: It.
        tunnel: The tunnel that has to carry it; any of the link if None.
    """

    message: StockMessage
    tunnel: str | None = None


# -- Of the link's KME; each may be answered with a `KeySourceError`


@dataclass(frozen=True, slots=True)
class DrawKeys(SupplyRequest[Delivery]):
    """Asks for new keys (``enc_keys``); see `KeyClient.get_keys`."""

    count: int


@dataclass(frozen=True, slots=True)
class FetchKeys(SupplyRequest[Delivery]):
    """Asks for keys of the peer (``dec_keys``); see `KeyClient.get_keys_with_ids`."""

    key_ids: Sequence[UUID]


# -- Of the key store; each may be answered with a `KeyStoreError`


@dataclass(frozen=True, slots=True)
class StoreRequest(SupplyRequest[R]):
    """A call of the `KeyStore` method that bears the same name, for this link."""


@dataclass(frozen=True, slots=True)
class ReadStock(StoreRequest[StockStatus]):
    """`KeyStocks.status`."""


@dataclass(frozen=True, slots=True)
class ReadStanding(StoreRequest[Sequence[KeyStanding]]):
    """`KeyLedger.standing`."""

    key_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class ReadHeld(StoreRequest[Sequence[UUID]]):
    """`KeyLedger.held`."""

    after: UUID | None
    count: int


@dataclass(frozen=True, slots=True)
class ReadChecks(StoreRequest[Mapping[UUID, bytes]]):
    """`KeyLedger.checks`."""

    key_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class CheckRoom(StoreRequest[None]):
    """`KeyIntake.check_room`."""

    count: int


@dataclass(frozen=True, slots=True)
class TakeIn(StoreRequest[ImportReport]):
    """`KeyIntake.add`, with the link's lifetime of keys."""

    keys: Sequence[NewKey]
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Confirm(StoreRequest[int]):
    """`KeyLedger.confirm`."""

    key_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Doubt(StoreRequest[int]):
    """`KeyLedger.doubt`."""

    key_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Retire(StoreRequest[int]):
    """`KeyLedger.retire`."""

    key_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class GiveUp(StoreRequest[int]):
    """`KeyLedger.give_up`."""

    key_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Disown(StoreRequest[None]):
    """Asks to note unused keys of ours that the peer, which draws all, does not hold.

    Made in the store's thread, for relayed keys alone.
    """

    key_ids: Sequence[UUID]
