"""What stands at both ends of a path: nothing, hooks without a rule, or a whole fence.

All of it is made once and then put to sleep and woken, so that all else stays as it is.
"""

import enum
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from lab.inside import made_inside

from benches.fence_path import Path
from gateway.dataplane.fence.base import FencePlan, Passage
from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.attributes import message, nested, number, text
from gateway.dataplane.fence.nft.connection import NftConnection
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.dataplane.fence.nft.frame import INWARD_PRIORITY, OUTWARD_PRIORITY
from gateway.dataplane.fence.nft.objects import TABLE, new_table

SETTLE_S = 0.01
"""What a change of the table leaves to the kernel."""

GRANT_S = 3_600.0

_HOOKS = {
    "outward": (c.NF_INET_POST_ROUTING, OUTWARD_PRIORITY),
    "input": (c.NF_INET_LOCAL_IN, INWARD_PRIORITY),
    "forward": (c.NF_INET_FORWARD, INWARD_PRIORITY),
}
"""The fence's own places."""


class Stands(enum.Enum):
    """What packets pass."""

    NOTHING = None
    HOOKS = "qgw-floor"
    FENCE = TABLE


@contextmanager
def switch(path: Path, plan: FencePlan) -> Iterator[Callable[[Stands], None]]:
    """Put up everything at both ends, all granted; yield what says which is awake."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(closing(made_inside(host, NftConnection)))
            for host in path.hosts
        ]

        def wake(wanted: Stands) -> None:
            tables = [
                new_table(0 if each is wanted else c.NFT_TABLE_F_DORMANT, each.value)
                for each in Stands
                if each.value is not None
            ]
            for one in sockets:
                one.transact(tables)
            time.sleep(SETTLE_S)

        for one in sockets:
            one.transact(_hooks_alone())
        for host, device in zip(path.hosts, path.devices, strict=True):
            # Not owned: it is put to sleep over sockets of ours.
            fence = made_inside(host, lambda: NftFence(owned=False))
            stack.enter_context(closing(fence))
            stack.callback(fence.remove)
            fence.load(plan)
            for tunnel in plan.tunnels:
                fence.grant(tunnel.name, Passage((device,)), GRANT_S)
        yield wake


def _hooks_alone() -> list[bytes]:
    """Return what makes a table with the fence's hooks and no rule."""
    name = Stands.HOOKS.value
    chains = [
        message(
            c.NFT_MSG_NEWCHAIN,
            text(c.NFTA_CHAIN_TABLE, name),
            text(c.NFTA_CHAIN_NAME, chain),
            nested(
                c.NFTA_CHAIN_HOOK,
                number(c.NFTA_HOOK_HOOKNUM, hook),
                number(c.NFTA_HOOK_PRIORITY, priority & 0xFFFF_FFFF),
            ),
            number(c.NFTA_CHAIN_POLICY, c.NF_ACCEPT),
            text(c.NFTA_CHAIN_TYPE, "filter"),
            flags=c.NLM_F_CREATE,
        )
        for chain, (hook, priority) in _HOOKS.items()
    ]
    return [new_table(c.NFT_TABLE_F_DORMANT, name), *chains]
