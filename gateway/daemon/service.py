"""The daemon: wires everything together, starts it, reloads it, stops it.

Start-up order: identity, store, planes, tunnels, sockets, control socket; READY is
said last. A tunnel that cannot start does not keep the others from starting: it is
tried again, and shown as a fault.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.acceptance.accept import Candidate, accept, judge_host
from gateway.acceptance.changes import describe_changes
from gateway.acceptance.contents import changed_contents, is_own
from gateway.acceptance.host import wanted_planes
from gateway.config.diff import IDENTITY, ConfigDiff, compare_configs, in_force
from gateway.config.model import (
    GatewayConfig,
    LogFormat,
    SecondPerson,
)
from gateway.control.approvals import Approvals
from gateway.control.schema import Method, ReloadResult
from gateway.control.server import ControlServer
from gateway.crypto.identity import PrivateIdentity, format_fingerprint
from gateway.daemon.api.gateway import Handlers
from gateway.daemon.endpoint import Exchange
from gateway.daemon.parts import Parts
from gateway.dataplane.fence.guard import FenceGuard
from gateway.errors import DataPlaneError, GatewayError
from gateway.events.bus import publish
from gateway.events.daemon import DaemonReady, DaemonStopped
from gateway.events.fence import FenceUnsettled
from gateway.host.logging import configure_logging, log_ends
from gateway.host.notify import Notifier, receive_fds
from gateway.host.resolver import Resolver
from gateway.observe.oversight import Oversight
from gateway.observe.reload import event_of_reload
from gateway.observe.summary import StatusLine
from gateway.relay.service import Relaying
from gateway.relay.stocks import all_links
from gateway.rotation.events import (
    TunnelBlocked,
    TunnelEvent,
    TunnelUnproven,
    TunnelUp,
)
from gateway.supply.links import Links
from gateway.tunnels.context import Context
from gateway.tunnels.records import StateDirectory
from gateway.tunnels.set import Basis, TunnelSet
from gateway.tunnels.upkeep import Upkeep
from gateway.wire.control import StockMessage
from gateway.wire.network import NetworkMessage

if TYPE_CHECKING:
    from gateway.host.garbage import Garbage

SOCKET_NAME: Final = "control-udp"
"""Name under which systemd keeps our sockets while we restart."""

STATUS_INTERVAL: Final = 5.0
"""Seconds between looks at what ``systemctl status`` should show."""

LOCAL_NETWORKS: Final = "local networks"
"""What of this host `reload` answers as changed; no tunnel's name has a space."""

SETTLE: Final = 1.0
"""Seconds a stop waits for epochs that are half-way: one that only one end sends
with would cost packets when the next start replaces it (WireGuard)."""

SETTLE_POLL: Final = 0.02
"""Seconds between looks at whether they are through."""

RETRY_TUNNEL: Final = 10.0
"""Seconds until a tunnel that the kernel refused at start is tried again."""


class Service:
    """One gateway.

    Attributes:
        tunnels: The tunnels.
        status_line: The line that ``systemctl status`` shows.
        links: The QKD links, and the stocks of pads.
        relaying: The network of trusted nodes.
        planes: The data planes.
        holding: What keeps their tunnels as they are wanted.
        fencing: The fence around them.
        approvals: What waits for a second person.
        oversight: What keeps an eye on all of it.
        exchange: The protocol machine, and the sockets it talks through.
        provider: The KEM provider in use.
        store: The key store; call it only through `store_worker`.
        store_worker: Its thread.
        notifier: Tells systemd how we stand.
        started_at: When `start` was called, monotonic seconds.
        garbage: Keeps collections out of reloads; None leaves them to Python.
    """

    def __init__(
        self,
        candidate: Candidate,
        parts: Parts,
        config_path: Path,
        environ: Mapping[str, str],
        *,
        log_format: LogFormat,
    ) -> None:
        """Wire the parts together; nothing is started.

        Args:
            candidate: What the operator wrote, and what the files hold.
            parts: What was built for it; closed by `stop`.
            config_path: Where the configuration is, to read it again.
            environ: What systemd says.
            log_format: Where log lines go, whatever a reload says.

        Raises:
            GatewayError: A link or the relay cannot be configured.
        """
        self._candidate = candidate
        self._standing, self._warned = candidate.findings, candidate.warnings
        config = candidate.config
        self._basis = Basis(
            config, parts.identity, dict(candidate.tunnels), dict(candidate.contents)
        )
        self._started_with = replace(config, tunnels={}, links={}, files=())
        self._config_path = config_path
        self._environ = environ
        self._log_format = log_format
        self.provider = parts.provider
        self.store = parts.store
        self.store_worker = parts.store_worker
        self._plane_worker = parts.plane_worker
        self.planes = parts.planes
        self.fencing = parts.fencing
        self.tunnels = TunnelSet(self._basis, self.planes, environ)
        self.holding = Upkeep(
            self.planes,
            self.tunnels.look_at,
            self.tunnels.note_obstacles,
        )
        self.exchange = Exchange(
            config.listen,
            config.control_mtu,
            self.tunnels.deliver,
        )
        self.relaying = Relaying(
            self.store,
            self.store_worker,
            send=self._send_control,
            initiates=self.tunnels.initiates,
            clock=_loop_time,
        )
        self.links = Links(
            self.store,
            self.store_worker,
            send=self._send_control,
            clock=_loop_time,
            control_mtu=config.control_mtu,
            relayed=self.relaying.make_client,
            disowned=self.relaying.disown,
        )
        self.relaying.configure(config, self.links)
        self.links.configure(all_links(config))
        self.oversight = Oversight(
            self.exchange,
            self.links,
            self.relaying,
            self.fencing,
            self.holding,
            _loop_time,
            self.store.signs,
        )
        self.notifier = Notifier(environ)
        self.approvals = Approvals(_loop_time)
        self.approvals.configure(config.second_person, config.second_person_within)
        self.status_line = StatusLine(
            self.tunnels, self.notifier.status, self.approvals.waiting
        )
        self.approvals.changed = self.status_line.show
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self.started_at = 0.0
        self._context: Context
        self._guard: FenceGuard | None = None
        self._control: ControlServer | None = None
        self.garbage: Garbage | None = None
        self._reloading = asyncio.Lock()

    @property
    def config(self) -> GatewayConfig:
        """The configuration in force."""
        return self._basis.config

    @property
    def identity(self) -> PrivateIdentity:
        """Our own identity."""
        return self._basis.identity

    # -- Life

    async def start(self) -> None:
        """Bring everything up and say READY.

        Raises:
            GatewayError: A socket, the control socket or every plane is refused.
        """
        loop = asyncio.get_running_loop()
        self.started_at = loop.time()
        state = StateDirectory(self.config.state_dir)
        await self.fencing.prepare(self.config)
        guard = self._guard = self.oversight.guard = FenceGuard(self.fencing)
        await self.oversight.watch(())
        kept = receive_fds(os.environ)
        self.exchange.open(
            kept.get(SOCKET_NAME, ()), lambda: self.notifier.remove_fds(SOCKET_NAME)
        )
        sockets = self.exchange.sockets
        self._context = Context(
            machine=self.exchange.machine,
            sockets=sockets,
            store=self.store,
            store_worker=self.store_worker,
            plane_worker=self._plane_worker,
            fence=self.fencing,
            resolver=Resolver(sockets.families),
            state=state,
            links=self.links,
            relaying=self.relaying,
            publish=self._publish,
            flush=self.exchange.flush,
            clock=loop.time,
        )
        self._control = ControlServer(
            self.config.control_socket,
            self.config.control_group,
            Handlers(self).table(),
            view_group=self.config.view_group,
        )
        await self.links.start()
        await self.relaying.start()
        await self.tunnels.start(
            self._context,
            obstacle_of=self.holding.obstacle_of,
            forget=self.oversight.failing.forget,
        )
        await self.fencing.settle(self.config)
        await guard.start()
        self.holding.start(is_complete=not self.tunnels.failed)
        self._note_users()
        self.tunnels.prepare_sockets()
        self.exchange.start()
        await self._control.start()
        self.notifier.store_fds(
            SOCKET_NAME, [sock.fileno() for sock in sockets.sockets]
        )
        self._tasks.append(loop.create_task(self._watch()))
        self._tasks.append(loop.create_task(self.oversight.kmes.run()))
        if self.notifier.watchdog_interval is not None:
            self._tasks.append(loop.create_task(self._watchdog()))
        self.notifier.ready(self.status_line.text())
        publish(DaemonReady(self.status_line.text()))
        async with self._reloading:
            # What a reload need not wait for; nothing at start waits for it either.
            judged = await self._judge(self._candidate)
            self._standing, self._warned = judged.findings, judged.warnings
            del self._candidate
            self._basis.files.clear()

    async def run(self) -> None:
        """Return once `request_stop` was called."""
        await self._stopped.wait()

    def request_stop(self) -> None:
        """Ask `run` to return."""
        self._stopped.set()

    async def stop(self) -> None:
        """Stop; tunnels stay in the kernel, so that a restart drops nothing."""
        self.notifier.stopping()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._control is not None:
            await self._control.stop()
        await self.holding.stop()
        await self._settle()
        await self.tunnels.stop()
        self.status_line.stop()
        self.exchange.stop()
        await self.relaying.stop()
        await self.links.stop()
        await self.planes.close()
        if self._guard is not None:
            await self._guard.stop()
        await self.fencing.close()
        self._plane_worker.stop()
        self.store_worker.stop()
        self.store.close()
        publish(DaemonStopped())

    async def _settle(self) -> None:
        """Let epochs that are half-way come into force, for a moment."""
        until = asyncio.get_running_loop().time() + SETTLE
        while asyncio.get_running_loop().time() < until:
            if self.tunnels.is_settled():
                return
            await asyncio.sleep(SETTLE_POLL)

    # -- Reload

    async def reload(self) -> ReloadResult:
        """Read the configuration again and touch only what changed.

        Raises:
            GatewayError: It has problems; nothing was changed.
        """
        async with self._reloading:
            if self.garbage is None:
                return await self._reload()
            with self.garbage.held():
                answer = await self._reload()
                self.garbage.let_go(len(answer["removed"]) + len(answer["changed"]))
                return answer

    async def _reload(self) -> ReloadResult:
        candidate = await asyncio.to_thread(
            accept, self._config_path, environ=self._environ
        )
        candidate = await self._judge(candidate)
        candidate.refuse_any(self._standing)
        self._see_identity(candidate)
        diff = await asyncio.to_thread(self._compare, candidate)
        self.notifier.reloading()
        try:
            return await self._apply(candidate, diff)
        finally:
            self.notifier.ready(self.status_line.text())

    def _see_identity(self, candidate: Candidate) -> None:
        """See that another identity of ours was confirmed, where it must be.

        Raises:
            ControlError: It was not.
        """
        other = candidate.identity
        if other is not None and other.public != self.identity.public:
            new = format_fingerprint(other.public.fingerprint)
            self.approvals.require(
                SecondPerson.IDENTITY, f"take the identity {new}", Method.RELOAD, {}
            )

    async def _judge(self, candidate: Candidate) -> Candidate:
        options = await self.planes.look(wanted_planes(candidate.config))
        opened = self.planes.opened
        leaving = self.exchange.sockets.leaving
        ours = replace(self.config, listen=(*self.config.listen, *leaving))
        return await asyncio.to_thread(judge_host, candidate, options, ours, opened)

    def _compare(self, candidate: Candidate) -> ConfigDiff:
        return compare_configs(
            self.config,
            candidate.config,
            contents=changed_contents(self._basis.contents, candidate.contents),
            started=self._started_with,
            auto=self.planes.auto,
        )

    async def _apply(self, candidate: Candidate, diff: ConfigDiff) -> ReloadResult:
        new = in_force(candidate.config, self._started_with)
        old = self.config
        await self.fencing.prepare(new)
        try:
            await self._listen_elsewhere(new)
        except GatewayError:
            await self.fencing.settle(old)
            raise
        network_changed = new.relay != old.relay
        try:
            self.relaying.configure(new, self.links)
            seeds = {new.links[name].seed_file for name in diff.links_changed}
            self.links.configure(all_links(new), reread=seeds)
        except GatewayError:
            self.relaying.configure(old, self.links)
            await self._listen_elsewhere(old)
            await self.fencing.settle(old)
            raise
        before, warned = self._basis.contents, self._warned
        details = describe_changes(diff, before, candidate.contents)
        self._take_over(candidate, new)
        if "log.level" in diff.applied:
            configure_logging(self._log_format, new.log_level)
        await self.tunnels.change(diff, before)
        self._basis.files.clear()
        news = await self._settle_fence()
        if news:
            details[LOCAL_NETWORKS] = f"{', '.join(news)} now beside a tunnel, in clear"
        self.holding.look_again()  # what passes beside tunnels may have changed
        self._note_users()
        if network_changed:
            await self.relaying.settle()
        await self.links.settle()
        self.tunnels.prepare_sockets()
        self.tunnels.tell_peers(
            ports_moved=self.config.wireguard_ports != old.wireguard_ports
        )
        self.exchange.flush()
        stay = self.tunnels.unapplied
        done = (name for name in diff.changed if name not in stay)
        result = ReloadResult(
            added=[*diff.added, *diff.links_added],
            removed=[*diff.removed, *diff.links_removed],
            changed=[
                *done,
                *diff.links_changed,
                *diff.applied,
                *([LOCAL_NETWORKS] if news else ()),
            ],
            unchanged=list(diff.unchanged),
            restart_needed=list(diff.restart),
            details=details,
            warnings=[
                *(str(finding.problem) for finding in candidate.findings),
                *(str(problem) for problem in candidate.news(warned)),
                *self.fencing.admissions(news),
            ],
            failed=dict(self.tunnels.troubles),
        )
        told = len(diff.links_added) + len(diff.links_changed)
        publish(event_of_reload(result, links_unchanged=len(new.links) - told))
        return result

    async def _listen_elsewhere(self, new: GatewayConfig) -> None:
        """Use the addresses and ports of a configuration, or none of them.

        Raises:
            GatewayError: One is taken; those in use stay so.
        """
        sockets = self.exchange.sockets
        listened = sockets.listen
        if new.listen != listened:
            sockets.rebind(new.listen)
        try:
            await self.planes.move_ports(new.wireguard_ports)
        except GatewayError:
            if new.listen != listened:
                sockets.rebind(listened)
            raise
        if new.listen != listened:
            self.tunnels.prepare_sockets()
            self._context.resolver.use(sockets.families)
            self.notifier.remove_fds(SOCKET_NAME)
            self.notifier.store_fds(
                SOCKET_NAME, [sock.fileno() for sock in sockets.sockets]
            )

    async def _settle_fence(self) -> tuple[str, ...]:
        """Refuse what the configuration names and no more; or say that more is.

        Returns networks of this host that newly pass beside tunnels.
        """
        news: tuple[str, ...] = ()
        try:
            news = await self.fencing.settle(self.config, is_asked=True)
        except DataPlaneError as error:
            self.tunnels.troubles["fence"] = (
                f"refuses more than it need: {error.message}"
            )
            publish(FenceUnsettled(error.message))
        if self.fencing.unrecorded:
            self.tunnels.troubles["fence"] = (
                f"its record for the next boot is old: {self.fencing.unrecorded}"
            )
        return news

    def _take_over(self, candidate: Candidate, new: GatewayConfig) -> None:
        """Let a configuration be the one in force."""
        self._basis.config = new
        self._standing, self._warned = candidate.findings, candidate.warnings
        self._basis.files = dict(candidate.tunnels)
        other = candidate.identity
        if other is not None and other.public != self.identity.public:
            self._basis.identity = other
        # What needs a restart is compared with what the daemon started with.
        own = {
            key: self._basis.contents[key]
            for key in self._basis.contents
            if is_own(key) and key != IDENTITY
        }
        self._basis.contents = {**candidate.contents, **own}
        self.tunnels.unapplied.clear()
        self.tunnels.troubles.clear()

    def _note_users(self) -> None:
        """Tell each link which tunnels draw on it."""
        self.links.use(self.tunnels.link_users() | self.relaying.pad_users())

    def _send_control(
        self, tunnel: str, message: StockMessage | NetworkMessage
    ) -> bool:
        if tunnel not in self.tunnels.drivers:
            return False
        sent = self.exchange.machine.send_control(tunnel, message)
        self.exchange.flush()
        return sent

    # -- Watching

    async def _watch(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(STATUS_INTERVAL)
            turns += 1
            log_ends()
            self.exchange.forget_strangers()
            self.exchange.sockets.look()
            self.status_line.show()
            await self.fencing.keep_record()
            await self.oversight.watch(self.tunnels.up())
            if turns * STATUS_INTERVAL % RETRY_TUNNEL == 0:
                await self.tunnels.retry()
                self._note_users()
                self.exchange.flush()

    def _publish(self, event: TunnelEvent) -> None:
        """Tell of a tunnel's event: to the log, to the status, to systemd."""
        publish(event)
        self.oversight.failing.note(event, now=_loop_time())
        if isinstance(event, TunnelUp | TunnelUnproven | TunnelBlocked):
            self.status_line.refresh()

    async def _watchdog(self) -> None:
        interval = self.notifier.watchdog_interval
        while interval is not None:
            self.notifier.watchdog()
            await asyncio.sleep(interval)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
