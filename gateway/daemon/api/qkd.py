"""The ``qkd.`` requests of the control socket."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gateway.config.model import LinkConfig, LinkSource
from gateway.control.limits import MAX_FETCH
from gateway.control.params import (
    read_count,
    read_flag,
    read_name,
    read_optional_name,
    refuse_unknown,
)
from gateway.control.qkd_schema import (
    FetchResult,
    KMETrouble,
    QKDFinding,
    QKDLink,
    QKDStatus,
    QKDTestResult,
)
from gateway.control.schema import ErrorCode, LinkStatus, Method
from gateway.control.server import Handler
from gateway.errors import ControlError, KeySourceError, SourceFault
from gateway.keystore.base import StockStatus
from gateway.observe.qkd_status import (
    DrawSchedule,
    report_finding,
    report_kme,
    report_supply,
    scheduled,
)
from gateway.observe.status import report_link
from gateway.sources.base import KMEStatus
from gateway.supply.alarms import StockAlarm
from gateway.supply.link import LinkSupply

if TYPE_CHECKING:
    from gateway.supply.links import Links
    from gateway.tunnels.set import TunnelSet

Params = Mapping[str, object]

KME_PATIENCE: Final = 6.0
"""Seconds a status waits for a KME: 5 for one that is dead, as the client gives up on a
connection by default, and one more for the next to answer."""

FETCH_TIME: Final = 45.0
"""Seconds in which keys are drawn for one request: it must be answered within 60."""

TEST_TIME: Final = 50.0
"""Seconds for the test of a link's KMEs, likewise: one that is silent after TLS takes
30 with the default timeout, and half a test is told as such."""


class QKDHandlers:
    """Shows and steers the supply of one service's links."""

    def __init__(self, links: "Links", tunnels: "TunnelSet") -> None:
        self._links = links
        self._tunnels = tunnels

    def table(self) -> dict[str, Handler]:
        """Return the handlers by method name."""
        return {
            Method.QKD_LINKS: self.links,
            Method.QKD_STATUS: self.status,
            Method.QKD_FETCH: self.fetch,
            Method.QKD_TEST: self.test,
        }

    async def links(self, params: Params) -> list[QKDLink]:
        """Describe every configured link; no KME is asked."""
        refuse_unknown(params, set())
        return [
            await self._row(name, config)
            for name, config in sorted(self._links.configs.items())
        ]

    async def status(self, params: Params) -> list[QKDStatus]:
        """Describe the supply of one link, or of every one; their KMEs are asked."""
        refuse_unknown(params, {"link"})
        wanted = read_optional_name(params, "link")
        configs = self._links.configs
        names = sorted(configs) if wanted is None else [wanted]
        for name in names:
            self._config(name)
        # At once: each silent KME costs its whole patience.
        return list(await asyncio.gather(*map(self._status, names)))

    async def fetch(self, params: Params) -> FetchResult:
        """Draw keys now, one batch by default."""
        refuse_unknown(params, {"link", "count"})
        name = read_name(params, "link")
        count = read_count(params, "count", MAX_FETCH)
        config, keeper = self._config(name), self._drawing_keeper(name)
        stock = await self._links.refresh(name)
        room = config.capacity - stock.available - stock.reserved
        if room <= 0:
            raise ControlError(
                f"the stock of link {name} is full: {stock.available} keys",
                "raise capacity of the link, then: qgw reload",
            )
        batch = config.batch
        wanted = min(count or batch, room)
        return await self._draw(name, keeper, wanted, batch)

    async def test(self, params: Params) -> QKDTestResult:
        """Try a link's KMEs step by step; with `draw`, use a key of each up."""
        refuse_unknown(params, {"link", "draw"})
        name, draw = read_name(params, "link"), read_flag(params, "draw")
        config = self._config(name)
        if config.kme is None:
            raise _no_kme(config)
        # Imported here: loading an HTTP library for nothing takes time at start.
        from gateway.sources.diagnosis.trial import diagnose  # noqa: PLC0415

        findings: list[QKDFinding] = []
        is_complete = True
        try:
            async with asyncio.timeout(TEST_TIME):
                async for finding in diagnose(config, draw=draw):
                    findings.append(  # noqa: PERF401  # each counts if time runs out
                        report_finding(finding)
                    )
        except TimeoutError:
            is_complete = False
        failed = any(finding["grade"] == "failed" for finding in findings)
        return QKDTestResult(
            link=name,
            ok=is_complete and not failed,
            complete=is_complete,
            findings=findings,
        )

    # -- Inside

    async def _draw(
        self, name: str, keeper: LinkSupply, wanted: int, batch: int
    ) -> FetchResult:
        before = keeper.status().refused
        drawn, is_late = 0, False
        try:
            async with asyncio.timeout(FETCH_TIME):
                while drawn < wanted:
                    came = await keeper.draw(min(batch, wanted - drawn))
                    drawn += came
                    if not came:
                        break
        except TimeoutError:
            is_late = True
        supply = keeper.status()
        refused = Counter(supply.refused) - Counter(before)
        error, hint = "", ""
        if is_late:
            error = f"no more than {drawn} keys came within {FETCH_TIME:.0f} s"
            hint = f"see: qgw qkd test {name}"
        elif drawn < wanted:
            error, hint = supply.error, supply.hint
            if not error:
                error = "the KME gave no key that could be taken"
                hint = "look for the reason in: journalctl -u qgwd"
        stock = await self._links.refresh(name)
        return FetchResult(
            link=name,
            wanted=wanted,
            drawn=drawn,
            refused=dict(refused),
            available=stock.available,
            unconfirmed=stock.unconfirmed,
            error=error,
            hint=hint,
        )

    async def _row(self, name: str, config: LinkConfig) -> QKDLink:
        kme = config.kme
        return QKDLink(
            link=name,
            source=config.source.value,
            simulated=config.source is LinkSource.SIMULATED,
            kmes=list(kme.urls) if kme else [],
            route=f"relay to {config.route.to}" if config.route else "",
            sae_id=kme.sae_id if kme else "",
            peer_sae_id=kme.peer_sae_id if kme else "",
            draws=self._draws(name),
            tunnels=list(self._schedule(name).tunnels),
            stock=self._stock(name, await self._links.refresh(name)),
            error=self._links.trouble(name),
        )

    async def _status(self, name: str) -> QKDStatus:
        config, links = self._config(name), self._links
        keeper, source = links.keepers.get(name), links.sources.get(name)
        kme, trouble = await _ask(keeper)
        stock = await links.refresh(name)
        supply = keeper.status() if keeper is not None else None
        schedule = self._schedule(name)
        description = source.description if source is not None else ""
        return QKDStatus(
            link=name,
            description=supply.description if supply else description,
            draws=self._draws(name),
            tunnels=list(schedule.tunnels),
            stock=self._stock(name, stock),
            unconfirmed=stock.unconfirmed,
            target=config.target,
            capacity=config.capacity,
            scheduled_rate=schedule.rate,
            scheduled_empty_s=schedule.seconds_to_empty(stock.available),
            supply=report_supply(supply) if supply else None,
            kme=report_kme(kme) if kme else None,
            kme_trouble=trouble,
        )

    def _config(self, name: str) -> LinkConfig:
        config = self._links.configs.get(name)
        if config is None:
            raise ControlError(
                f"no link named {name} is configured",
                "see them all: qgw qkd links",
                code=ErrorCode.NOT_FOUND,
            )
        return config

    def _drawing_keeper(self, name: str) -> LinkSupply:
        config, keeper = self._config(name), self._links.keepers.get(name)
        if (config.kme is None and config.route is None) or keeper is None:
            raise _no_kme(config)
        if not keeper.status().draws:
            raise ControlError(
                f"this end draws no keys for link {name}",
                "keys are drawn where a tunnel's handshakes start: fetch them at the "
                "peer, or see qgw tunnel list",
            )
        return keeper

    def _draws(self, name: str) -> bool:
        keeper = self._links.keepers.get(name)
        return keeper is not None and keeper.status().draws

    def _schedule(self, name: str) -> DrawSchedule:
        return scheduled(name, self._tunnels.drivers.values())

    def _stock(self, name: str, status: StockStatus) -> LinkStatus:
        alarm = self._links.alarms.get(name, StockAlarm.OK)
        return report_link(self._links.configs.get(name), status, alarm)


def _no_kme(config: LinkConfig) -> ControlError:
    if config.route is not None:
        return ControlError(
            f"link {config.name} has no KME: its keys are relayed",
            f"see: qgw network, and: qgw qkd status {config.name}",
        )
    return ControlError(
        f"link {config.name} has no KME: its source is {config.source.value}",
        f"keys of a file: qgw keystore import --link {config.name} FILE",
    )


async def _ask(
    keeper: LinkSupply | None,
) -> tuple[KMEStatus | None, KMETrouble | None]:
    """Ask a link's KME how it stands, for as long as an operator waits."""
    if keeper is None:
        return None, None
    try:
        async with asyncio.timeout(KME_PATIENCE):
            return await keeper.ask_kme(), None
    except TimeoutError:
        return None, KMETrouble(
            message=f"no answer within {KME_PATIENCE:.0f} s",
            hint=f"see: qgw qkd test {keeper.config.name}",
            fault=SourceFault.TIMEOUT.value,
        )
    except KeySourceError as error:
        return None, KMETrouble(
            message=error.message, hint=error.hint, fault=error.fault.value
        )
