"""The ``keystore.`` requests of the control socket."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from gateway.config.model import SecondPerson
from gateway.control.params import (
    read_flag,
    read_import,
    read_name,
    read_optional_name,
    refuse_unknown,
)
from gateway.control.schema import (
    ErrorCode,
    ImportResult,
    LinkStatus,
    Method,
    PurgeResult,
    RefusedKey,
)
from gateway.control.server import Handler
from gateway.errors import ControlError
from gateway.keystore.container import take_keys
from gateway.observe.status import report_link
from gateway.supply.alarms import StockAlarm

if TYPE_CHECKING:
    from gateway.control.approvals import Approvals
    from gateway.host.workers import Worker
    from gateway.keystore.base import KeyStore
    from gateway.supply.links import Links

Params = Mapping[str, object]
P = ParamSpec("P")
R = TypeVar("R")


class KeystoreHandlers:
    """Shows stocks, and changes them by hand."""

    def __init__(
        self,
        store: "KeyStore",
        worker: "Worker",
        links: "Links",
        approvals: "Approvals",
    ) -> None:
        self._store = store
        self._worker = worker
        self._links = links
        self._approvals = approvals

    def table(self) -> dict[str, Handler]:
        """Return the handlers by method name."""
        return {
            Method.KEYSTORE_STATUS: self.status,
            Method.KEYSTORE_IMPORT: self.take,
            Method.KEYSTORE_PURGE: self.purge,
        }

    async def status(self, params: Params) -> list[LinkStatus]:
        """Describe one link's stock, or every link's."""
        refuse_unknown(params, {"link"})
        return await self.links(read_optional_name(params, "link"))

    async def take(self, params: Params) -> ImportResult:
        """Take keys into a link's stock."""
        request = read_import(params)
        config = self._links.configs.get(request.link)
        if config is None:
            raise ControlError(
                f"no link named {request.link} is configured",
                "add [links.NAME] to gateway.toml, then: qgw reload",
                code=ErrorCode.NOT_FOUND,
            )
        parsed = take_keys((key.key_id, key.key) for key in request.keys)
        try:
            report = await self._store_call(
                self._store.intake.add,
                request.link,
                parsed.keys,
                lifetime=config.key_lifetime,
                # Not offered before the peer is known to have imported them too.
                confirmed=False,
            )
        finally:
            for key in request.keys:
                if key.key is not None:
                    key.key.wipe()
        self._links.changed_by_hand(request.link)
        await self._links.refresh(request.link)
        return ImportResult(
            added=report.added,
            refused=[
                RefusedKey(key_id=refusal.key_id, reason=refusal.reason)
                for refusal in (*parsed.refused, *report.refused)
            ],
        )

    async def purge(self, params: Params) -> PurgeResult:
        """Erase expired or all unused keys of a link."""
        refuse_unknown(params, {"link", "all"})
        store, link = self._store, read_name(params, "link")
        all_keys = read_flag(params, "all")
        if all_keys:
            self._approvals.require(
                SecondPerson.PURGE,
                f"erase every unused key of link {link}",
                Method.KEYSTORE_PURGE,
                params,
            )
        erased = await self._store_call(store.stocks.purge, link, all_keys=all_keys)
        self._links.changed_by_hand(link)
        return PurgeResult(erased=erased)

    async def links(self, wanted: str | None) -> list[LinkStatus]:
        """Describe one link's stock, or every link's.

        Raises:
            ControlError: There is no such link.
        """
        stored = await self._store_call(self._store.stocks.links)
        names = sorted({*stored, *self._links.configs})
        if wanted is not None:
            if wanted not in names:
                raise ControlError(
                    f"there is no link named {wanted}",
                    "see them all: qgw keystore status",
                    code=ErrorCode.NOT_FOUND,
                )
            names = [wanted]
        return [
            report_link(
                self._links.configs.get(name),
                await self._links.refresh(name),
                self._links.alarms.get(name, StockAlarm.OK),
            )
            for name in names
        ]

    async def _store_call(
        self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._worker.run(call, *args, **kwargs)
