"""Keys on their way from two KMEs into two stores."""

import asyncio
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches.figures import Figure
from benches.lines import read_line
from benches.registry import Bench, Options
from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.host.workers import Worker
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.secret import Secret
from gateway.sources.clients import make_client
from gateway.supply.link import LinkSupply
from gateway.wire.control import StockMessage, decode_control, encode_control
from gateway.wire.stock import StockAnnounce, StockAnswer, StockPage

KEYS = 10_000
QUICK_KEYS = 2_000
MAX_SECONDS = 20.0
MIN_KEYS_PER_S = 1_000.0
BATCH = 128
ROUNDS = 5
LINK = "bench"
SAES = ("gw-a", "gw-b")
MTU = 1_180
"""Bytes of a control message's plaintext in a datagram of 1,232."""

PATIENCE = 120.0
"""Seconds until a supply that does not come counts as broken."""


class KMEs:
    """Two KMEs of ours in a process of their own."""

    def __init__(self, folder: Path, keys: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.kme_pair", str(folder), str(keys)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said = read_line(self._process)

    def link(self, end: int, target: int) -> LinkConfig:
        """Return the link as one end's gateway has it configured."""
        files = self._said["saes"][end]
        kme = KMEConfig(
            urls=(self._said["urls"][end],),
            sae_id=SAES[end],
            peer_sae_id=SAES[1 - end],
            ca=Path(self._said["ca"]),
            certificate=Path(files["certificate"]),
            private_key=Path(files["private_key"]),
            batch=BATCH,
            requests_per_minute=60_000.0,
        )
        return LinkConfig(
            LINK, LinkSource.ETSI014, target=target, capacity=2 * target, kme=kme
        )

    def stop(self) -> None:
        """End them."""
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        self._process.stdin.close()
        self._process.wait(timeout=30)


class Gateway:
    """One end: its store on disk, and its keeper."""

    def __init__(self, folder: Path, link: LinkConfig, *, draws: bool) -> None:
        folder.mkdir(mode=0o700)
        self.store = SQLiteKeyStore(folder / "keys.db", Secret(bytes(32)))
        self.peer: Gateway | None = None
        self._worker = Worker("key-store")
        self.keeper = LinkSupply(
            link,
            make_client(link),
            self.store,
            self._worker.run,
            send=self.send,
            clock=asyncio.get_running_loop().time,
            mtu=MTU,
        )
        self.keeper.set_draws(draws=draws)

    def send(self, message: StockMessage, _tunnel: str | None) -> bool:
        """Hand a control message to the other end, as bytes."""
        if self.peer is None:
            return False
        asyncio.get_running_loop().call_soon(self.peer.arrive, encode_control(message))
        return True

    def arrive(self, data: bytes) -> None:
        """Take a control message."""
        message = decode_control(data)
        if isinstance(message, StockAnnounce | StockPage | StockAnswer):
            self.keeper.receive(message, "tunnel")

    async def stop(self) -> None:
        """Stop and close."""
        await self.keeper.stop()
        self._worker.stop()
        self.store.close()


async def fill(folder: Path, kmes: KMEs, keys: int) -> float:
    """Return the seconds until both stores hold `keys`, confirmed."""
    first = Gateway(folder / "a", kmes.link(0, keys), draws=True)
    second = Gateway(folder / "b", kmes.link(1, keys), draws=False)
    first.peer, second.peer = second, first
    begin = time.monotonic()
    second.keeper.start()
    first.keeper.start()
    try:
        while True:
            status = first.store.stocks.status(LINK)
            if status.available - status.unconfirmed >= keys:
                break
            if time.monotonic() - begin > PATIENCE:
                raise RuntimeError(f"only {status} after {PATIENCE:.0f} s")
            await asyncio.sleep(0.05)
        taken = time.monotonic() - begin
        held = [
            end.store.ledger.held(LINK, after=None, count=keys + 1)
            for end in (first, second)
        ]
    finally:
        await first.stop()
        await second.stop()
    if held[0] != held[1] or len(held[0]) != keys:
        raise RuntimeError("the two stores do not hold the same keys")
    return taken


async def serve(kmes: KMEs, keys: int) -> list[float]:
    """Return keys a second, drawn at one end and fetched at the other, by round."""
    first, second = (make_client(kmes.link(end, keys)) for end in (0, 1))
    rates = []
    try:
        for _ in range(ROUNDS):
            begin = time.monotonic()
            for _ in range(max(1, keys // ROUNDS // BATCH)):
                drawn = await first.get_keys(BATCH)
                ids = [key.key_id for key in drawn.keys]
                fetched = await second.get_keys_with_ids(ids)
                if len(fetched.keys) != len(ids) or not ids:
                    raise RuntimeError("the other end did not get what was drawn")
            count = max(1, keys // ROUNDS // BATCH) * BATCH
            rates.append(count / (time.monotonic() - begin))
    finally:
        await first.close()
        await second.close()
    return rates


def run(options: Options) -> list[Figure]:
    """Fill two stores from two KMEs; then draw and fetch without any store."""
    keys = QUICK_KEYS if options.quick else KEYS
    logging.getLogger("gateway").setLevel(logging.ERROR)
    figures = []
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as name:
        kmes = KMEs(Path(name) / "kme", 8 * keys)
        try:
            if "supply_s" in options.wanted:
                options.say(f"{keys} keys from two KMEs into two stores")
                taken = asyncio.run(fill(Path(name), kmes, keys))
                figures.append(_supply(taken * KEYS / keys, keys))
            if "kme_keys_per_s" in options.wanted:
                options.say(f"{keys} keys drawn and fetched in batches of {BATCH}")
                figures.append(_served(asyncio.run(serve(kmes, keys))))
        finally:
            kmes.stop()
    return figures


def _supply(seconds: float, keys: int) -> Figure:
    note = (
        f"{keys} keys, scaled to {KEYS}: drawn at one KME of ours, announced, fetched "
        "at the other, acknowledged; both gateways' clients and stores in one process, "
        "both KMEs in another, mutual TLS over loopback; control messages are handed "
        "over in memory"
    )
    return Figure("supply_s", seconds, "s", None, MAX_SECONDS, note)


def _served(rates: list[float]) -> Figure:
    note = (
        f"drawn (enc_keys) and fetched by the other end (dec_keys) in batches of "
        f"{BATCH}, one call after the other; both clients in one process, both KMEs in "
        "another; each key counts once"
    )
    quartiles = statistics.quantiles(rates, n=4)
    return Figure(
        "kme_keys_per_s",
        statistics.median(rates),
        "1/s",
        quartiles[2] - quartiles[0],
        MIN_KEYS_PER_S,
        note,
        more_is_better=True,
    )


BENCH = Bench(("supply_s", "kme_keys_per_s"), run)
