"""Two KMEs of one link in one event loop, for tests: real TLS, real disks, no waiting.

::

    async with KMEPair(folder) as pair:
        await pair.make_keys(1000)
        pair.alice.url, pair.credentials["gw-a"], pair.bob.misbehaviour.start("503")
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.kme.constant import ConstantLink
from gateway.kme.link import LinkModel
from gateway.kme.listener import listen
from gateway.kme.pki import LaboratoryPKI, TlsFiles, make_laboratory_pki
from gateway.kme.seed import create_seed, write_seed
from gateway.kme.server import KMEServer
from gateway.kme.settings import (
    End,
    KmePeerSettings,
    KMESettings,
    LinkSettings,
    SAESettings,
)

LOOPBACK: Final = "127.0.0.1"
ALICE_ID, BOB_ID = "kme-alice", "kme-bob"


class KMEPair:
    """KME alice and KME bob, whose SAEs may all share keys both ways.

    Args:
        folder: Where their files go; made if it is not there.
        alice_saes: SAE IDs of alice's site.
        bob_saes: SAE IDs of bob's site.
        model: The link; by default one that makes no keys, so that a test says with
            `make_keys` when there are some.
        pki: Certificates of KMEs and SAEs, instead of new ones.
        **limits: Fields of `KMESettings` that both are given, such as
            `max_key_per_request`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        alice_saes: Sequence[str] = ("gw-a",),
        bob_saes: Sequence[str] = ("gw-b",),
        model: LinkModel | None = None,
        pki: LaboratoryPKI | None = None,
        **limits: int | float,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.pki = pki or make_laboratory_pki(
            folder / "pki",
            kmes={ALICE_ID: [LOOPBACK, "localhost"], BOB_ID: [LOOPBACK, "localhost"]},
            saes=[*alice_saes, *bob_saes],
        )
        seed = create_seed()
        self._sockets = [listen(LOOPBACK, 0), listen(LOOPBACK, 0)]
        urls = [f"https://{LOOPBACK}:{made.getsockname()[1]}" for made in self._sockets]
        settings = []
        for end, kme_id in ((End.ALICE, ALICE_ID), (End.BOB, BOB_ID)):
            is_alice = end is End.ALICE
            home = folder / end.value
            home.mkdir(mode=0o700, exist_ok=True)
            seed_file = home / "link.seed"
            if not seed_file.exists():
                write_seed(seed_file, seed)
            peer = KmePeerSettings(BOB_ID if is_alice else ALICE_ID, urls[is_alice])
            made = KMESettings(
                kme_id=kme_id,
                host=LOOPBACK,
                port=0,
                certificate=self.pki.kmes[kme_id].certificate,
                private_key=self.pki.kmes[kme_id].private_key,
                ca=self.pki.ca,
                pool=home / "pool" / "kme.db",
                control_socket=home / "control.sock",
                peer=peer,
                link=LinkSettings(end, seed_file),
                saes=_mesh(
                    *((alice_saes, bob_saes) if is_alice else (bob_saes, alice_saes))
                ),
            )
            settings.append(replace(made, **limits))  # type: ignore[arg-type]  # named by the test
        self.alice = KMEServer(settings[0], model=model or ConstantLink(0.0))
        self.bob = KMEServer(settings[1])

    @property
    def ca(self) -> Path:
        """The CA's certificate, PEM."""
        return self.pki.ca

    @property
    def credentials(self) -> Mapping[str, TlsFiles]:
        """Client certificates by SAE ID."""
        return self.pki.saes

    async def make_keys(self, count: int) -> int:
        """Let the link give keys at once, half for each end; return how many."""
        return await self.alice.feed.give(count)

    async def __aenter__(self) -> Self:
        sockets, self._sockets = self._sockets, []
        await self.bob.start(sockets[1])
        await self.alice.start(sockets[0])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.alice.stop()
        await self.bob.stop()


def _mesh(own: Sequence[str], other: Sequence[str]) -> dict[str, SAESettings]:
    peers = frozenset(other)
    return {sae_id: SAESettings(slaves=peers, masters=peers) for sae_id in own}
