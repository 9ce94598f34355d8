"""The fence of this kernel."""

from gateway.dataplane.fence.base import Fence
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.dataplane.fence.unavailable import UnavailableFence
from gateway.dataplane.fence.xfrm.fence import XfrmFence
from gateway.errors import PlaneUnsupportedError


def open_fence() -> Fence:
    """Return the best fence that this kernel can have.

    Raises:
        PlanePermissionError: CAP_NET_ADMIN is missing.
    """
    try:
        return NftFence()
    except PlaneUnsupportedError as error:
        why = f"{error.message}; {error.hint}"
    try:
        return XfrmFence()
    except PlaneUnsupportedError:
        return UnavailableFence(why)
