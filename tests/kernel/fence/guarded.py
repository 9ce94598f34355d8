"""A fence with its guard, run beside a test in the gateway's namespace."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from lab.inside import made_inside

from gateway.config.load import load_config
from gateway.config.model import GatewayConfig
from gateway.dataplane.fence.enforcement import Fencing
from gateway.dataplane.fence.guard import FenceGuard
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.host.workers import Worker
from tests.kernel.fence.place import Place

CONFIG = """
[gateway]
identity = "identity.key"
listen = ["0.0.0.0:51810"]
[keystore]
path = "keys.db"
[tunnels.a-b]
peer = "peer.pub"
endpoint = "203.0.113.2:51810"
qkd = "off"
local_subnets = ["10.1.0.0/24", "fd00:1::/64"]
remote_subnets = {remote}
"""


SITE = '["10.2.0.0/16", "fd00:2::/48"]'


def configured(folder: Path, remote: str = SITE) -> GatewayConfig:
    path = folder / "gateway.toml"
    path.write_text(CONFIG.format(remote=remote))
    return load_config(path)


def guarded(
    place: Place,
    config: GatewayConfig,
    folder: Path,
    body: Callable[[Fencing], Awaitable[None]],
    *,
    owned: bool = False,
) -> None:
    """Run something beside a guarded fence, in a thread on the gateway."""

    async def run() -> None:
        worker = Worker("planes")
        fencing = Fencing(worker, folder, lambda: NftFence(owned=owned))
        await fencing.prepare(config)
        await fencing.settle(config)
        guard = FenceGuard(fencing)
        await guard.start()
        try:
            await body(fencing)
        finally:
            await guard.stop()
            await fencing.close()
            worker.stop()

    made_inside(place.name("gateway"), lambda: asyncio.run(run()))
