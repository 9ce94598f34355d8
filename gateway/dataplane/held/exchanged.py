"""Tunnels that change at once, since one wants what another one gives up."""

from collections.abc import Callable, Iterable, Sequence

from gateway.dataplane.base import TunnelSpec
from gateway.errors import DataPlaneError


def moving_prefixes(
    old: Sequence[TunnelSpec],
    new: Sequence[TunnelSpec],
    prefixes_of: Callable[[TunnelSpec], Iterable[str]],
) -> frozenset[str]:
    """Return what one tunnel gives up and exactly one other takes.

    Args:
        old: What the tunnels are.
        new: What they are to be, in the same order.
        prefixes_of: Says what belongs to a tunnel's peer.
    """
    taken: dict[str, int] = {}
    given: set[str] = set()
    for before, after in zip(old, new, strict=True):
        had, has = set(prefixes_of(before)), set(prefixes_of(after))
        given |= had - has
        for prefix in has - had:
            taken[prefix] = taken.get(prefix, 0) + 1
    return frozenset(p for p, count in taken.items() if count == 1 and p in given)


def change_all(
    change: Callable[[TunnelSpec], None],
    old: Sequence[TunnelSpec],
    new: Sequence[TunnelSpec],
) -> None:
    """Change tunnels in order; if one is refused, change back those before it.

    Raises:
        DataPlaneError: One was refused; all are as they were, as far as can be.
    """
    for position, spec in enumerate(new):
        try:
            change(spec)
        except DataPlaneError:
            for before in reversed(old[:position]):
                change(before)
            raise
