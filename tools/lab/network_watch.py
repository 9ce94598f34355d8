"""Looks at a network of gateways and KMEs again and again, and remembers."""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.control.client import ControlClient
from gateway.errors import GatewayError
from gateway.kme.control import run_call
from lab.network import SITES, TUNNELS, Network

POLL: Final = 0.25
"""Seconds between looks; epochs live for two."""

KME_EVERY: Final = 4
"""Looks for each one at the KMEs, which change with passes."""

STOCKS: Final = {
    "fibre": "redu",
    "satellite": "lux",
    "redu-sin": "redu",
    "redu>lux": "redu",
    "lux>sin": "lux",
}
"""Stocks in the picture, and the site that is asked."""


@dataclass(frozen=True, slots=True)
class TunnelSeen:
    """One end of a tunnel at one moment.

    Attributes:
        at: Monotonic seconds.
        state: As `qgw tunnel list` says.
        epoch: The newest epoch.
        key: Whether its QKD key is ``fresh``, ``chained`` or ``none``.
        age: Epochs since the fresh one.
        key_id: Its own QKD key.
        reason: Why it is not up.
    """

    at: float
    state: str
    epoch: int | None
    key: str | None
    age: int | None
    key_id: str | None
    reason: str


@dataclass(slots=True)
class Seen:
    """All that was seen.

    Attributes:
        tunnels: By tunnel and site.
        stocks: By stock: moment and keys available.
        pools: By link: moment and keys that the KME at its first end has.
        alarms: By link: moment and state of the simulated link.
        passes: By link: moment and passes that gave key so far.
        relayed: Batches that the first end had relayed, at the end.
    """

    tunnels: dict[tuple[str, str], list[TunnelSeen]] = field(default_factory=dict)
    stocks: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    pools: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    links: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    passes: dict[str, list[tuple[float, int]]] = field(default_factory=dict)


class NetworkWatcher:
    """Looks from a thread of its own until it is closed.

    Attributes:
        seen: What it saw; read it after `close`, or grow old with it.
    """

    def __init__(self, network: Network) -> None:
        self.seen = Seen()
        self._network = network
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        turns = 0
        while not self._stopping.is_set():
            for site in SITES:
                # A daemon that does not answer is seen by its absence.
                with contextlib.suppress(GatewayError):
                    self._look(site)
            if turns % KME_EVERY == 0:
                for (link, site), kme in self._network.kmes.items():
                    if STOCKS[link] == site:  # where most keys are drawn
                        with contextlib.suppress(GatewayError):
                            self._look_at_kme(link, kme.files.config)
            turns += 1
            self._stopping.wait(POLL)

    def _look(self, site: str) -> None:
        gateway = self._network.gateways[site]
        with ControlClient(gateway.socket, timeout=5.0) as client:
            now = time.monotonic()
            tunnels = client.call("tunnel.list", {})
            stocks = client.call("keystore.status", {})
        assert isinstance(tunnels, list)  # noqa: S101  # as the daemon answers
        assert isinstance(stocks, list)  # noqa: S101
        for one in tunnels:
            self.seen.tunnels.setdefault((one["name"], site), []).append(
                TunnelSeen(
                    now,
                    one["state"],
                    one["epoch"],
                    one["qkd_key"],
                    one["qkd_age"],
                    one["key_id"],
                    one["reason"],
                )
            )
        for one in stocks:
            if STOCKS.get(one["link"]) == site:
                self.seen.stocks.setdefault(one["link"], []).append(
                    (now, one["available"])
                )

    def _look_at_kme(self, link: str, config: Any) -> None:
        status = run_call(config.with_name("control.sock"), "GET", "status")
        found = status["link"]
        if not isinstance(found, dict):
            return  # nothing is known of the link yet
        now = time.monotonic()
        self.seen.pools.setdefault(link, []).append((now, _number(status)))
        self.seen.links.setdefault(link, []).append((now, str(found["state"])))
        if "passes_used" in found:
            used = int(found["passes_used"])
            self.seen.passes.setdefault(link, []).append((now, used))


def _number(status: dict[str, object]) -> int:
    stored = status["stored_key_count"]
    return stored if isinstance(stored, int) else 0


def standing(network: Network) -> dict[str, str]:
    """Say how each tunnel stands now.

    Returns:
        ``up`` at both ends; ``waits for keys``, where the policy is ``required`` and no
        key is in stock; else ``down``.
    """
    found = {}
    for tunnel in TUNNELS:
        ends = [network.gateways[site] for site in tunnel.ends]
        states = {end.call("tunnel.show", name=tunnel.name)["state"] for end in ends}
        (stock,) = ends[0].call("keystore.status", link=tunnel.link)
        if states == {"up"}:
            found[tunnel.name] = "up"
        elif tunnel.qkd == "required" and not stock["available"]:
            found[tunnel.name] = "waits for keys"
        else:
            found[tunnel.name] = "down"
    return found
