"""Execution of the supply machine's requests, one job at a time or several at once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from gateway.config.model import LinkConfig
from gateway.errors import GatewayError
from gateway.keystore.base import KeyStore
from gateway.supply import requests as asked
from gateway.supply.requests import Job, SupplyRequest

R = TypeVar("R")


async def perform(
    job: Job[R], answer: Callable[[SupplyRequest[Any]], Awaitable[object]]
) -> R:
    """Do what a job asks, until it ends; return what it ends with.

    Args:
        job: A generator that was not started yet.
        answer: Does what one request asks. The job is told of a `GatewayError`; all
            else, a cancellation among it, ends the job where it is.

    Raises:
        GatewayError: The job ends with one.
    """
    try:
        request = next(job)
        while True:
            try:
                answered = await answer(request)
            except GatewayError as error:
                request = job.throw(error)
            else:
                request = job.send(answered)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        job.close()


class StoreCalls:
    """The calls of a key store that requests stand for.

    Args:
        config: The link.
        store: The store.
        disown: Told of the keys of a `Disown`.
    """

    def __init__(
        self,
        config: LinkConfig,
        store: KeyStore,
        disown: Callable[[Sequence[UUID]], None] | None = None,
    ) -> None:
        self._link = config.name
        self._lifetime = config.key_lifetime
        self._store = store
        self._disown = disown

    def answer(self, request: asked.StoreRequest[Any]) -> object:  # noqa: C901, PLR0911  # a table
        """Make the call that a request stands for; return its answer. It may block.

        Raises:
            KeyStoreError: The store cannot do it.
        """
        link, store = self._link, self._store
        match request:
            case asked.ReadStock():
                return store.stocks.status(link)
            case asked.ReadStanding(key_ids):
                return store.ledger.standing(link, key_ids)
            case asked.ReadHeld(after, count):
                return store.ledger.held(link, after=after, count=count)
            case asked.ReadChecks(key_ids):
                return store.ledger.checks(link, key_ids)
            case asked.CheckRoom(count):
                store.intake.check_room(count)
                return None
            case asked.TakeIn(keys, confirmed):
                return store.intake.add(
                    link, keys, lifetime=self._lifetime, confirmed=confirmed
                )
            case asked.Confirm(key_ids):
                return store.ledger.confirm(link, key_ids)
            case asked.Doubt(key_ids):
                return store.ledger.doubt(link, key_ids)
            case asked.Retire(key_ids):
                return store.ledger.retire(link, key_ids)
            case asked.GiveUp(key_ids):
                return store.ledger.give_up(link, key_ids)
            case asked.Disown(key_ids) if self._disown is not None:
                return self._disown(key_ids)
            case _:
                raise TypeError(f"no call of the store: {request!r}")
