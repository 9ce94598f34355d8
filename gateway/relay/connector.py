"""The connection that this node opens to one neighbour, and sends on."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, cast

from gateway.config.model import Endpoint
from gateway.relay.addresses import AddressBook, SocketAddress
from gateway.relay.frames import encode_frame, encode_hello
from gateway.relay.sockets import bind_source, family_of, set_limits

MIN_DELAY: Final = 0.5
"""Seconds between two attempts, at least: a refusal costs two packets then."""

MAX_DELAY: Final = 30.0
"""And at most: half a minute after a neighbour is back, so is the link. Mostly it is
sooner, for a neighbour that connects to us is connected to at once."""

CONNECT_TIMEOUT: Final = 8.0
"""Seconds for one attempt: the kernel asks at 0, 1, 3 and 7."""

STEADY_AFTER: Final = 10.0
"""Seconds a connection stands until the next failure counts as the first again. One
that is accepted and closed, since we are not welcome, is none."""

MAX_UNSENT: Final = 1 << 20
"""Bytes that wait for a slow neighbour: 212 of the largest messages; what a 10 Mbit/s
line takes in 0.8 s, within the time in which answers are awaited."""

logger = logging.getLogger(__name__)


class Sender(asyncio.Protocol):
    """One connection that was opened by us: nothing may come back on it."""

    def __init__(self, hello: bytes) -> None:
        self._hello = hello
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()
        self.answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._hello)

    def data_received(self, _data: bytes) -> None:
        """Close: whoever answers here is no relay node."""
        self.answered = True
        self.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Let the connector know, whatever the reason."""
        self.transport = None
        self.lost.set()

    def send(self, data: bytes) -> str:
        """Send a message; return why it is dropped, or an empty string."""
        if self.transport is None or self.transport.is_closing():
            return "not-connected"
        frame = encode_frame(data)
        if self.transport.get_write_buffer_size() + len(frame) > MAX_UNSENT:
            return "queue-full"
        self.transport.write(frame)
        return ""

    def abort(self) -> None:
        """Close, and drop what waits to be sent."""
        if self.transport is not None:
            self.transport.abort()


class Connector:
    """Keeps one connection to one neighbour standing.

    Args:
        name: This node.
        peer: The neighbour.
        book: Where it is.
        listen: Our addresses; the neighbour expects to see us come from them.
        changed: Called with whether the connection stands now.
        counters: Counts what failed.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        peer: str,
        book: AddressBook,
        listen: Sequence[Endpoint],
        *,
        changed: Callable[[str, bool], None],
        counters: Counter[str],
        clock: Callable[[], float],
    ) -> None:
        self._hello = encode_hello(name)
        self._peer = peer
        self._book = book
        self._listen = listen
        self._changed = changed
        self._counters = counters
        self._clock = clock
        self._sender: Sender | None = None
        self._task: asyncio.Task[None] | None = None
        self._nudged = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._sender is not None and self._sender.transport is not None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run(), name=f"relay-to-{self._peer}")

    def nudge(self) -> None:
        """Connect soon: the neighbour has just shown that it is there."""
        self._nudged.set()

    def send(self, data: bytes) -> bool:
        """Send a message; False if it is dropped."""
        why = self._sender.send(data) if self._sender else "not-connected"
        if why:
            self._counters[why] += 1
        return not why

    async def stop(self) -> None:
        """Close the connection and try no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        delay = MIN_DELAY
        while True:
            self._nudged.clear()
            stood = await self._connect_once()
            delay = next_delay(delay, stood)
            await self._pause(delay)

    async def _pause(self, delay: float) -> None:
        """Wait for half the delay to all of it, or until nudged; `MIN_DELAY` anyway."""
        jittered = delay * secrets.SystemRandom().uniform(0.5, 1.0)
        await asyncio.sleep(MIN_DELAY)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(jittered - MIN_DELAY):
                await self._nudged.wait()

    async def _connect_once(self) -> float:
        """Connect to the first address that answers, and stay until it is lost.

        Returns:
            Seconds for which the connection stood.
        """
        await self._book.refresh(self._peer)
        for address in self._book.candidates(self._peer):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    sender = await self._open(address)
            except (OSError, TimeoutError) as error:
                self._counters["connect-failed"] += 1
                logger.debug("relay: cannot connect to %s: %s", self._peer, error)
                continue
            began = self._clock()
            await self._stay(sender)
            return self._clock() - began
        return 0.0

    async def _open(self, address: SocketAddress) -> Sender:
        loop = asyncio.get_running_loop()
        family = family_of(address[0])
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            set_limits(sock)
            bind_source(sock, self._listen, address)
            await loop.sock_connect(sock, address)
            _, sender = await loop.create_connection(
                lambda: Sender(self._hello), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        return sender

    async def _stay(self, sender: Sender) -> None:
        self._sender = sender
        self._changed(self._peer, True)  # noqa: FBT003  # the interface's
        try:
            await sender.lost.wait()
        finally:
            sender.abort()
            self._sender = None
            if sender.answered:
                self._counters["answered-back"] += 1
            self._changed(self._peer, False)  # noqa: FBT003  # the interface's


def next_delay(delay: float, stood: float) -> float:
    """Return the pause before the next attempt, seconds.

    Args:
        delay: The pause before the last one.
        stood: How long the connection stood that it made; 0 if it made none.
    """
    return MIN_DELAY if stood >= STEADY_AFTER else min(2 * delay, MAX_DELAY)
