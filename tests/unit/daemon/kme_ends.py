"""Two services whose link draws on two real KMEs over mutual TLS, in one process."""

from dataclasses import replace
from pathlib import Path

from doubles.kme_pair import KMEPair

from gateway.kme.link import LinkModel
from gateway.kme.listener import listen
from gateway.kme.server import KMEServer
from tests.unit.daemon.services import End, make_ends

SAES = {"a": "gw-a", "b": "gw-b"}
TARGET = 40


class KMESites:
    """Both KMEs and both gateways.

    Attributes:
        pair: The KMEs, to be started before the gateways.
        ends: The gateways.
    """

    def __init__(self, folder: Path, model: LinkModel | None = None) -> None:
        self.pair = KMEPair(folder / "kme", model=model)
        self.ends = dict(zip("ab", make_ends(folder), strict=True))
        self._model = model
        self._ports: dict[str, int] = {}

    async def start_kmes(self, **link_keys: object) -> None:
        """Start the KMEs and write their addresses into the gateways' links."""
        await self.pair.__aenter__()
        for letter, kme in self._kmes().items():
            self._ports[letter] = int(kme.url.rpartition(":")[2])
            end = self.ends[letter]
            other = "b" if letter == "a" else "a"
            ours = self.pair.credentials[SAES[letter]]
            end.link_keys = {
                "source": "etsi014",
                "kme": kme.url,
                "sae_id": SAES[letter],
                "peer_sae_id": SAES[other],
                "ca": str(self.pair.ca),
                "certificate": str(ours.certificate),
                "private_key": str(ours.private_key),
                "target": TARGET,
                "low_water": 4,
                "batch": 16,
                "timeout": 2.0,
                "requests_per_minute": 6000.0,
                **link_keys,
            }

    def kme(self, letter: str) -> KMEServer:
        """The KME of a site."""
        return self._kmes()[letter]

    def _kmes(self) -> dict[str, KMEServer]:
        return {"a": self.pair.alice, "b": self.pair.bob}

    async def stop_kme(self, letter: str) -> None:
        """Stop one KME; its pool stays on disk."""
        await self.kme(letter).stop()

    async def restart_kme(self, letter: str) -> None:
        """Start it again, at its old address."""
        old = self.kme(letter)
        host, port = old.settings.host, self._ports[letter]
        new = KMEServer(
            replace(old.settings, port=port),
            model=self._model if letter == "a" else None,
        )
        if letter == "a":
            self.pair.alice = new
        else:
            self.pair.bob = new
        await new.start(listen(host, port))

    async def stop(self) -> None:
        """Stop everything."""
        for end in self.ends.values():
            if hasattr(end, "service") and not end.service.store_worker._pool._shutdown:
                await end.stop()
        await self.pair.__aexit__(None, None, None)


def in_force(sites: KMESites) -> bool:
    """Whether the tunnel is in force at both ends, with the same QKD key."""
    return all(end.in_force() for end in sites.ends.values())


def stock(end: End) -> int:
    """Confirmed keys of an end."""
    found = end.service.store.stocks.status("fibre")
    return found.available - found.unconfirmed
