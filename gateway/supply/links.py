"""QKD links of one daemon: what fills the store, and alarms on its stock."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.crypto.kdf import MAC_SIZE
from gateway.errors import KeyStoreError
from gateway.events.bus import publish
from gateway.events.supply import LinkFailed, StockLevelChanged, StoreUnmaintained
from gateway.host.workers import Worker
from gateway.keystore.base import KeyStore, StockStatus
from gateway.secret import Secret
from gateway.sources.base import KeyClient, KeySource
from gateway.sources.simulated.client import SimulatedClient
from gateway.sources.simulated.seed import load_seed
from gateway.sources.simulated.source import SimulatedLink
from gateway.supply.alarms import StockAlarm, next_alarm
from gateway.supply.link import LinkSupply
from gateway.supply.outage import Outage
from gateway.supply.turns import SharedKME
from gateway.wire.control import StockMessage
from gateway.wire.header import COUNTER_SIZE, HEADER_SIZE
from gateway.wire.network import PAD_PREFIX_SIZE, PadDirection, PadStock
from gateway.wire.payloads import MAX_OFFERED_KEYS

FILL_INTERVAL: Final = 1.0
"""Seconds between fillings; a slow source's keys wait no longer than that."""

MAINTAIN_TURNS: Final = 10
"""Fillings between two maintenances of the store: what an erased key leaves in the
log is gone within ten seconds."""

SETTLING: Final = 60.0
"""Seconds after a link's start in which keys that only lack the peer's confirmation
are no reason for an alarm: the stocks are compared within seconds of a handshake."""

SendControl = Callable[[str, StockMessage | PadStock], bool]
"""Sends a message over the tunnel named; False if it has no session."""

MakeClient = Callable[[LinkConfig], KeyClient | None]
"""Makes the client of a link whose keys are relayed."""


@dataclass(frozen=True, slots=True)
class LinkUser:
    """A tunnel over which the two ends of a link speak.

    Attributes:
        tunnel: Its name.
        initiator: Whether this end draws the keys.
        pads: For a stock of pads its direction; None if the tunnel draws on the link.
    """

    tunnel: str
    initiator: bool
    pads: PadDirection | None = None

    def wrap(self, message: StockMessage) -> StockMessage | PadStock:
        """Return a message as it goes over this tunnel."""
        return message if self.pads is None else PadStock(self.pads, message)


class Links:
    """Every configured link of this gateway.

    Args:
        store: The key store; called only through `worker`.
        worker: Its thread.
        send: How links speak to the peer.
        clock: Monotonic seconds.
        control_mtu: Largest datagram sent, bytes.
        relayed: Makes the client of a link whose keys are relayed.
        disowned: Told, in the store's thread, of relayed keys that their origin does
            not hold.
    """

    def __init__(
        self,
        store: KeyStore,
        worker: Worker,
        *,
        send: SendControl,
        clock: Callable[[], float],
        control_mtu: int,
        relayed: MakeClient = lambda _: None,
        disowned: Callable[[str, Sequence[UUID]], None] = lambda _, __: None,
    ) -> None:
        self._disowned = disowned
        self._store = store
        self._relayed = relayed
        self._worker = worker
        self._send = send
        self._clock = clock
        self._message_size = control_mtu - HEADER_SIZE - COUNTER_SIZE - MAC_SIZE
        self._task: asyncio.Task[None] | None = None
        self._users: Mapping[str, tuple[LinkUser, ...]] = {}
        self._shared_kmes: dict[KMEConfig, SharedKME] = {}
        self._stopping: list[LinkSupply] = []
        self._starting: list[LinkSupply] = []
        self.configs: dict[str, LinkConfig] = {}
        self._since: dict[str, float] = {}
        self._outages: dict[str, Outage] = {}
        self.faults: dict[str, str] = {}
        self.sources: dict[str, KeySource] = {}
        self.keepers: dict[str, LinkSupply] = {}
        self.alarms: dict[str, StockAlarm] = {}
        self.statuses: dict[str, StockStatus] = {}

    def store_fault(self) -> KeyStoreError | None:
        """Return what is wrong with the store, looked at now: some system calls."""
        return self._store.fault()

    def configure(
        self, configs: dict[str, LinkConfig], *, reread: Collection[Path | None] = ()
    ) -> None:
        """Use these links from now on; unchanged ones keep their sources.

        A link whose seed cannot be read gives no keys, and says why. `settle` starts
        and stops what that takes.

        Args:
            configs: Every link, by name.
            reread: Seed files that hold something else now.
        """
        sources: dict[str, KeySource] = {}
        self.faults.clear()
        for name, config in configs.items():
            known = config == self.configs.get(name) and config.seed_file not in reread
            if known and name in self.sources:
                sources[name] = self.sources[name]
            elif (source := self._make_source(config)) is not None:
                sources[name] = source
        made = {
            name: self._make_keeper(config)
            for name, config in configs.items()
            if not _fills_itself(config)
            and (
                name not in self.keepers
                or self.keepers[name].config != config
                or (config.seed_file is not None and config.seed_file in reread)
            )
        }
        for name in tuple(self.keepers):
            if name in made or name not in configs or _fills_itself(configs[name]):
                self._stopping.append(self.keepers.pop(name))
        self.keepers |= made
        self._starting += made.values()
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in configs}
        self.configs = dict(configs)
        self.sources.clear()
        self.sources.update(sources)
        self.alarms = {name: self.alarms.get(name, StockAlarm.OK) for name in configs}

    def use(self, users: Mapping[str, tuple[LinkUser, ...]]) -> None:
        """Say which tunnels draw on which links."""
        self._users = users
        for name, keeper in self.keepers.items():
            keeper.set_draws(draws=any(one.initiator for one in users.get(name, ())))

    def draws(self, name: str) -> bool:
        """Say whether this end draws a link's keys for both."""
        return any(user.initiator for user in self._users.get(name, ()))

    def shares(self, name: str) -> int:
        """How many tunnels draw on a link, at least 1."""
        return max(1, len(self._users.get(name, ())))

    def receive(self, name: str, tunnel: str, message: StockMessage) -> None:
        """Take what the peer says of a link's stock, over one of its tunnels."""
        keeper = self.keepers.get(name)
        for user in self._users.get(name, ()):
            if keeper is not None and user.tunnel == tunnel:
                keeper.receive(message, tunnel)
                return

    def _tell(self, user: LinkUser, message: StockMessage) -> bool:
        return self._send(user.tunnel, user.wrap(message))

    async def suspect(self, name: str) -> None:
        """Have no key of a stock count as confirmed until it was compared anew.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        while (keeper := self.keepers.get(name)) is not None:
            await keeper.suspect()
            if self.keepers.get(name) is keeper:  # no reload has made another one
                return

    def changed_by_hand(self, name: str) -> None:
        """Note that keys of a link were imported, purged, or found to be missing."""
        if name in self.keepers:
            self.keepers[name].changed_by_hand()

    def taken(self, name: str | None) -> None:
        """Note an epoch of a tunnel on a link."""
        keeper = self.keepers.get(name or "")
        if keeper is not None:
            keeper.taken()

    def connected(self, tunnel: str) -> None:
        """Note that a tunnel came up: the peer can be spoken to."""
        for name, users in self._users.items():
            keeper = self.keepers.get(name)
            if keeper is not None and any(user.tunnel == tunnel for user in users):
                keeper.connected()

    async def draw_now(self, name: str) -> int:
        """Draw keys for a handshake that found none; return how many came."""
        keeper = self.keepers.get(name)
        return await keeper.draw_now() if keeper is not None else 0

    async def draw_fresh(self, name: str) -> Sequence[UUID]:
        """Draw a few keys though some are in stock; none if that is full."""
        keeper, config = self.keepers.get(name), self.configs.get(name)
        if keeper is None or config is None:
            return ()
        status = await self.refresh(name)
        if status.available + status.reserved >= config.capacity:
            return ()
        return await keeper.draw_fresh()

    async def fetch_now(self, name: str, offered: Sequence[UUID]) -> int:
        """Fetch keys that a peer's handshake offers; return how many came.

        Raises:
            KeyStoreError: The store cannot take them.
        """
        source, keeper = self.sources.get(name), self.keepers.get(name)
        if source is not None:
            others = (self.shares(name) - 1) * MAX_OFFERED_KEYS
            return await self._worker.run(source.ensure, self._store, offered, others)
        return await keeper.fetch_now(offered) if keeper is not None else 0

    def trouble(self, name: str) -> str:
        """Say what keeps a link from giving keys; empty if nothing does."""
        return self.trouble_and_hint(name)[0]

    def trouble_and_hint(self, name: str) -> tuple[str, str]:
        """Say what keeps a link from giving keys, and what to do about it."""
        if name in self.faults:
            return self.faults[name], ""
        keeper = self.keepers.get(name)
        status = keeper.status() if keeper is not None else None
        return (status.error, status.hint) if status is not None else ("", "")

    async def settle(self) -> None:
        """Start and stop what `configure` has changed."""
        stopped = {}
        for keeper in self._stopping:
            await keeper.stop()
            stopped[keeper.config.name] = keeper
        for keeper in self._starting:
            if keeper.config.name in stopped:
                keeper.take_over(stopped[keeper.config.name])
            keeper.start()
        self._stopping, self._starting = [], []
        self.use(self._users)

    async def start(self) -> None:
        """Fill once, then keep filling in the background."""
        await self._turn(self._clock())
        await self.settle()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop filling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for keeper in self.keepers.values():
            await keeper.stop()

    def simulated(self) -> list[tuple[str, str]]:
        """Name the links whose keys are no quantum keys, and what they are."""
        return [
            (name, self.sources[name].description)
            for name, config in sorted(self.configs.items())
            if config.source is LinkSource.SIMULATED and name in self.sources
        ]

    async def refresh(self, name: str) -> StockStatus:
        """Read one link's stock now."""
        status = await self._worker.run(self._store.stocks.status, name)
        if name in self.configs:
            self._note(name, status)
        return status

    def _make_keeper(self, config: LinkConfig) -> LinkSupply:
        def send(message: StockMessage, tunnel: str | None) -> bool:
            users = self._users.get(config.name, ())
            return any(
                self._tell(user, message)
                for user in users
                if tunnel in (None, user.tunnel)
            )

        client: KeyClient | None = None
        if config.route is not None:
            client = self._relayed(config)
        elif config.source is LinkSource.SIMULATED:
            client = self._make_simulated_client(config)
        elif config.kme is not None:
            # Imported here: loading an HTTP library for nothing takes time at start.
            from gateway.sources.clients import make_client  # noqa: PLC0415

            client = make_client(config)
        return LinkSupply(
            config,
            client,
            self._store,
            self._worker.run,
            send=send,
            clock=self._clock,
            mtu=self._message_size - (0 if config.checked else PAD_PREFIX_SIZE),
            shared=self._shared_kmes.setdefault(config.kme, SharedKME())
            if config.kme is not None
            else None,
            disown=partial(self._disowned, config.name) if config.route else None,
        )

    def _make_simulated_client(self, config: LinkConfig) -> KeyClient | None:
        seed = self._load_seed(config)
        if seed is None:
            return None
        return SimulatedClient(
            config.name,
            seed,
            rate=config.rate,
            most=config.capacity,
            clock=self._clock,
        )

    def _make_source(self, config: LinkConfig) -> KeySource | None:
        seed = self._load_seed(config) if _fills_itself(config) else None
        if seed is None:
            return None
        return SimulatedLink(
            config.name,
            seed,
            rate=config.rate,
            capacity=config.capacity,
            low_water=config.low_water,
            lifetime=config.key_lifetime,
        )

    def _load_seed(self, config: LinkConfig) -> Secret | None:
        if config.seed_file is None:
            return None
        try:
            return load_seed(config.seed_file)
        except KeyStoreError as error:
            self.faults[config.name] = error.message
            publish(LinkFailed(config.name, error.message))
            return None

    async def _run(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(FILL_INTERVAL)
            turns += 1
            await self._turn(self._clock())
            if turns % MAINTAIN_TURNS == 0:
                await self._maintain()

    async def _turn(self, now: float) -> None:
        for name in tuple(self.configs):
            try:
                source, came = self.sources.get(name), 0
                if source is not None:
                    came = await self._worker.run(source.fill, self._store, now)
                await self.refresh(name)
                # Where no key was due none was tried: a full disk may be full still.
                if name in self._outages and (came or source is None):
                    self._outages.pop(name).recovered("its stock is kept again")
            except KeyStoreError as error:
                outage = self._outages.setdefault(name, Outage(name, "store"))
                outage.failed("failed", error.message)

    async def _maintain(self) -> None:
        try:
            await self._worker.run(self._store.maintain)
        except KeyStoreError as error:
            publish(StoreUnmaintained(error.message))

    def _is_settling(self, name: str, status: StockStatus) -> bool:
        """Whether enough keys are there, and the peer was hardly asked about them yet.

        After a start none counts as confirmed until the stocks were compared.
        """
        enough = status.available + status.reserved >= self.configs[name].low_water
        return enough and self._clock() - self._since[name] < SETTLING

    def _note(self, name: str, status: StockStatus) -> None:
        """Keep the status; say so when the alarm changes."""
        before = self.alarms.get(name, StockAlarm.OK)
        counted_for = status
        if not self._users.get(name):
            # Nobody can be asked, and nobody takes them: there is nothing to confirm.
            counted_for = replace(status, unconfirmed=0)
        after = next_alarm(before, counted_for, self.configs[name].low_water)
        is_low_at_once = (before, after) == (StockAlarm.OK, StockAlarm.LOW)
        if is_low_at_once and self._is_settling(name, status):
            after = before
        self.statuses[name] = status
        self.alarms[name] = after
        if after is not before:
            publish(StockLevelChanged(name, after.value, counted(counted_for)))


def counted(status: StockStatus) -> str:
    """Say how many keys the alarm counts: those that the peer is known to hold."""
    unused = status.available + status.reserved
    if not status.unconfirmed:
        return f"{unused} keys available"
    known = unused - status.unconfirmed
    return f"the peer is known to hold {known} of {unused} keys"


def _fills_itself(config: LinkConfig) -> bool:
    """Whether both ends of a link make the same keys unasked.

    Pads are drawn at one end and fetched at the other even in a simulation: none is
    used that the other end is not known to hold.
    """
    return config.source is LinkSource.SIMULATED and config.checked
