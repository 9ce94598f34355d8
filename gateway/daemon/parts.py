"""The parts of one daemon that reach outside it: its store, its threads, its kernel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.acceptance.accept import Candidate
from gateway.config.model import KEMProviderName
from gateway.crypto.identity import PrivateIdentity, format_fingerprint
from gateway.crypto.suite import choose_provider, passed_over
from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.fence.base import Fence
from gateway.dataplane.fence.enforcement import Fencing
from gateway.dataplane.fence.open import open_fence
from gateway.events.bus import publish
from gateway.events.daemon import IdentityLoaded, LiboqsPassedOver
from gateway.host.workers import Worker
from gateway.keystore.master_key import load_master_key
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.tunnels.planes import Planes


@dataclass(frozen=True, slots=True)
class Parts:
    """What a `Service` is given, and stops at its end.

    Attributes:
        identity: Our own identity.
        provider: The KEM provider in use.
        store: The key store; called only through `store_worker`.
        store_worker: Its thread.
        plane_worker: The data planes' thread.
        planes: The data planes.
        fencing: The fence around them.
    """

    identity: PrivateIdentity
    provider: str
    store: SQLiteKeyStore
    store_worker: Worker
    plane_worker: Worker
    planes: Planes
    fencing: Fencing


def build(
    candidate: Candidate,
    environ: Mapping[str, str],
    *,
    make_planes: Callable[[Worker, tuple[int, int], AcceptedNetworks], Planes] = Planes,
    fence_opener: Callable[[], Fence] = open_fence,
) -> Parts:
    """Open what needs no event loop.

    Args:
        candidate: What the operator wrote, and what the files hold.
        environ: Where credentials are, as systemd says.
        make_planes: Makes the kernel's data planes, or some in memory.
        fence_opener: Opens the fence of the kernel, or one in memory.

    Raises:
        ConfigError: Something is wrong that keeps all of it from working.
        GatewayError: Master key or key store cannot be used.
    """
    candidate.refuse_general()
    identity, config = candidate.identity, candidate.config
    assert identity is not None  # noqa: S101  # else there is a finding
    provider = choose_provider(config.kem_provider.value)
    publish(
        IdentityLoaded(
            format_fingerprint(identity.public.fingerprint), identity.suite.id, provider
        )
    )
    if config.kem_provider is KEMProviderName.AUTO and (why := passed_over()):
        publish(LiboqsPassedOver(why))
    store = SQLiteKeyStore(config.keystore, load_master_key(config.master_key, environ))
    store.uses.release_all()
    plane_worker = Worker("data-plane")
    accepted = AcceptedNetworks()
    return Parts(
        identity=identity,
        provider=provider,
        store=store,
        store_worker=Worker("key-store"),
        plane_worker=plane_worker,
        planes=make_planes(plane_worker, config.wireguard_ports, accepted),
        fencing=Fencing(plane_worker, config.state_dir, fence_opener, accepted),
    )
