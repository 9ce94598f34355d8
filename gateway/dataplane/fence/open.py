"""The fence of this kernel."""

from pathlib import Path

from gateway.dataplane.fence.base import Fence
from gateway.dataplane.fence.nft.constants import KEEPER_FOLDER
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.dataplane.fence.unavailable import UnavailableFence
from gateway.dataplane.fence.xfrm.fence import XfrmFence
from gateway.errors import PlaneUnsupportedError


def open_fence(*, to_change: bool = True) -> Fence:
    """Return the best fence that this kernel can have.

    Args:
        to_change: Whether to borrow the socket that owns the table, if qgw-keeper keeps
            one; whoever only looks leaves it to others.

    Raises:
        PlanePermissionError: CAP_NET_ADMIN is missing.
    """
    try:
        return NftFence(keeper=Path(KEEPER_FOLDER) if to_change else None)
    except PlaneUnsupportedError as error:
        why = f"{error.message}; {error.hint}"
    try:
        return XfrmFence()
    except PlaneUnsupportedError:
        return UnavailableFence(why)
