"""The whole KME: puts the parts together, starts and stops them."""

import asyncio
import logging
import socket
import ssl
import traceback
from collections.abc import Coroutine
from dataclasses import asdict, fields, replace
from typing import Final

from aiohttp import web

from gateway.errors import KeyStoreError, KMEError, QuantumLinkError
from gateway.kme.core import KMECore, half_of
from gateway.kme.expiry import warn_of_expiry
from gateway.kme.feed import LinkFeed
from gateway.kme.guard import Guard
from gateway.kme.keys import PoolSequence
from gateway.kme.link import LinkModel, LinkUnderSky
from gateway.kme.listener import KmeListener, listen
from gateway.kme.misbehaviour.switch import Misbehaviour
from gateway.kme.models import make_model
from gateway.kme.peer import PeerClient, PeerError
from gateway.kme.peer_api import PeerInterface
from gateway.kme.pool import Pool
from gateway.kme.rate_limit import RateLimit
from gateway.kme.requests import MAX_BODY
from gateway.kme.sae_api import SAEInterface
from gateway.kme.seed import load_seed
from gateway.kme.settings import End, KMESettings
from gateway.kme.tls import client_context, server_context

STALE_AFTER: Final = 5.0
"""Seconds without news from alice after which bob says so."""

EXPIRY_INTERVAL: Final = 86_400.0
"""Seconds between two looks at when certificates end."""

LINK_ACTIONS: Final = ("down", "up", "eavesdrop-on", "eavesdrop-off", "overcast")

_log = logging.getLogger(__name__)


class KMEServer:
    """One KME.

    Args:
        settings: What the operator wrote.
        model: The link, instead of the one that the settings name; alice only.

    Attributes:
        misbehaviour: What it has been told to do wrong.
        failed: Set when a part of it died of a fault of its own.
    """

    def __init__(
        self, settings: KMESettings, *, model: LinkModel | None = None
    ) -> None:
        self.settings = settings
        self.misbehaviour = Misbehaviour()
        self.failed = asyncio.Event()
        self._model = model
        self._core: KMECore | None = None
        self._feed: LinkFeed | None = None
        self._listener: KmeListener | None = None
        self._saes: SAEInterface | None = None
        self._peer: PeerInterface | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._started = 0.0

    @property
    def core(self) -> KMECore:
        """The KME without HTTP; only between `start` and `stop`."""
        if self._core is None:
            raise RuntimeError("not started")
        return self._core

    @property
    def feed(self) -> LinkFeed:
        """What fills the pools; only at alice's end, between `start` and `stop`."""
        if self._feed is None:
            raise RuntimeError("not started, or not alice")
        return self._feed

    @property
    def url(self) -> str:
        """``https://host:port`` where it listens."""
        if self._listener is None:
            raise RuntimeError("not started")
        host, port = self._listener.address
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    async def start(self, listening: socket.socket | None = None) -> None:
        """Open the pool and serve.

        Args:
            listening: Instead of the address in the settings; closed by `stop`.

        Raises:
            KMEError: A file is wrong or missing, or the address is taken.
        """
        settings = self.settings
        loop = asyncio.get_running_loop()
        server_tls, client_tls = _contexts(settings)
        is_alice = settings.link.end is End.ALICE
        if is_alice and self._model is None:
            self._model = make_model(settings.link)
        sequence = PoolSequence(load_seed(settings.link.seed_file))
        listening = listening or listen(settings.host, settings.port)
        try:
            pool = _open_pool(settings, sequence.link_id)
        except BaseException:
            listening.close()
            raise
        self._core = core = KMECore(
            settings,
            sequence,
            pool,
            PeerClient(settings.peer.url, client_tls, sequence.link_id),
        )
        rate_limit = RateLimit(settings.requests_per_second, loop.time)
        self._saes = SAEInterface(
            core, settings.saes, self.misbehaviour, rate_limit, loop.time
        )
        self._peer = PeerInterface(core, settings.saes, self.switch_link, loop.time)
        guard = Guard()
        application = web.Application(
            middlewares=[guard.middleware()], client_max_size=MAX_BODY
        )
        application.add_routes([*self._saes.routes(), *self._peer.routes()])
        self._listener = KmeListener(application, guard)
        await self._listener.start(listening, server_tls)
        self._started = loop.time()
        if is_alice and self._model is not None:
            self._feed = LinkFeed(core, self._model)
            self._spawn(self._feed.run())
        self._spawn(self._watch_expiry())
        _log.info(
            "KME %s serves %d SAEs at %s (simulated keys, NOT quantum keys)",
            settings.kme_id,
            len(settings.saes),
            self.url,
        )

    async def stop(self) -> None:
        """Finish what is under way and close everything; nothing if not started."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.stop()
        if self._core is not None:
            await self._core.close()
        self._listener = self._core = self._feed = None

    async def reload(self, settings: KMESettings) -> list[str]:
        """Take over certificates, SAEs and their limits; all or nothing.

        Returns:
            Names of what else differs, and takes a restart.

        Raises:
            KMEError: A file is wrong or missing; nothing has changed.
        """
        if self._listener is None or self._saes is None or self._peer is None:
            raise RuntimeError("not started")
        server_tls, client_tls = _contexts(settings)
        applied = replace(
            self.settings,
            certificate=settings.certificate,
            private_key=settings.private_key,
            ca=settings.ca,
            saes=settings.saes,
            requests_per_second=settings.requests_per_second,
        )
        differing = [
            field.name
            for field in fields(settings)
            if getattr(settings, field.name) != getattr(applied, field.name)
        ]
        self.settings = applied
        self.core.settings = self.settings
        self._saes.saes = self._peer.saes = settings.saes
        self._saes.rate_limit = RateLimit(
            settings.requests_per_second, asyncio.get_running_loop().time
        )
        await self._listener.renew(server_tls)
        await self.core.peer.renew(client_tls)
        warn_of_expiry(settings)
        return differing

    async def switch_link(
        self, action: str, station: str = "", days: float = 0.0
    ) -> None:
        """Switch the quantum link, here or at the end that runs its model.

        Args:
            action: One of `LINK_ACTIONS`.
            station: For ``overcast``: over which station.
            days: For ``overcast``: how long, simulated days.

        Raises:
            KMEError: There is no such action, the link is not of that kind, or the
                other end was not reached.
        """
        if action not in LINK_ACTIONS:
            raise KMEError("no such switch of the link", "one of " + str(LINK_ACTIONS))
        what = f"{action} {station!r}, {days:g} days" if station else action
        if self._model is not None and self._feed is not None:
            _switch(self._model, action, station, days)
            _log.warning("SIMULATION: quantum link switched: %s", what)
            self.core.link_status = self._model.status()
            return
        _log.warning("SIMULATION: the other end is to switch the link: %s", what)
        problem = ""
        try:
            await self.core.peer.switch_link(action, station, days)
        except PeerError as error:
            problem = str(error)
        if problem:
            raise KMEError(
                f"the link's model runs at the other end: {problem}",
                "switch it there",
            )

    def status(self) -> dict[str, object]:
        """Return what ``qgw-kme status`` shows; no key, and no key_ID."""
        core, own = self.core, self.core.own
        link = core.link_status
        return {
            "kme_id": self.settings.kme_id,
            "peer_kme_id": self.settings.peer.kme_id,
            "url": self.url,
            "end": self.settings.link.end.value,
            "simulated": True,
            "uptime_s": asyncio.get_running_loop().time() - self._started,
            "stored_key_count": core.stored,
            "max_key_count": self.settings.max_key_count,
            "peer_stored_key_count": core.marks.stock(own.other),
            "waiting_key_count": core.waiting,
            "drawn_keys": core.drawn_keys,
            "delivered_keys": core.delivered_keys,
            "lost_keys": self._feed.lost_keys if self._feed is not None else 0,
            "peer_problem": self._peer_problem(),
            "link": asdict(link) if link is not None else None,
            "misbehaviour": self.misbehaviour.mode,
            "misbehaviour_left": self.misbehaviour.left,
            "misbehaved": self.misbehaviour.done,
        }

    def _peer_problem(self) -> str:
        if self._feed is not None:
            return self._feed.problem
        heard = self._peer.heard if self._peer is not None else None
        if heard is None:
            return "no news from the KME at alice's end yet"
        silence = asyncio.get_running_loop().time() - heard
        if silence > STALE_AFTER:
            return f"no news from the KME at alice's end for {silence:.0f} s"
        return ""

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_death)
        self._tasks.append(task)

    def _note_death(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            place = traceback.extract_tb(error.__traceback__)[-1]
            # Type and place only: a message may quote what was being handled.
            _log.critical(
                "a fault of the KME itself: %s at %s:%s",
                type(error).__name__,
                place.filename,
                place.lineno,
            )
            self.failed.set()

    async def _watch_expiry(self) -> None:
        while True:
            warn_of_expiry(self.settings)
            await asyncio.sleep(EXPIRY_INTERVAL)


def _switch(model: LinkModel, action: str, station: str, days: float) -> None:
    """Do one of `LINK_ACTIONS`.

    Raises:
        KMEError: This link cannot.
    """
    match action:
        case "down":
            model.down()
        case "up":
            model.up()
        case "overcast" if isinstance(model, LinkUnderSky):
            try:
                model.overcast(station, days)
            except QuantumLinkError as error:
                raise KMEError(error.message, error.hint) from None
        case "overcast":
            raise KMEError(
                "this link has no sky over it",
                'only model = "satellite" can be overcast',
            )
        case _:
            model.eavesdrop(action == "eavesdrop-on")


def _contexts(settings: KMESettings) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    files = settings.certificate, settings.private_key, settings.ca
    return server_context(*files), client_context(*files)


def _open_pool(settings: KMESettings, link_id: str) -> Pool:
    end = settings.link.end
    try:
        return Pool(
            settings.pool,
            f"{link_id} {end} {settings.key_size}",
            half_of(end),
            settings.max_waiting,
        )
    except KeyStoreError as error:
        problem = error
    raise KMEError(f"key pool of the KME: {problem.message}", problem.hint)
