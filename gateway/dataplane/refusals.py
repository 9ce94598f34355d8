"""Refusals of the kernel, in words for an operator."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2.netlink.exceptions import NetlinkError

from gateway.errors import (
    DataPlaneError,
    PlaneConflictError,
    PlanePermissionError,
    PlaneUnsupportedError,
)

PERMISSION_HINT = "run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN"

UNSUPPORTED = frozenset(
    {
        errno.EOPNOTSUPP,
        errno.EPROTONOSUPPORT,
        errno.EAFNOSUPPORT,
        errno.ENOSYS,
        errno.ENOPROTOOPT,
    }
)
"""Answers that mean: this kernel does not have that."""

TAKEN = frozenset({errno.EEXIST, errno.EADDRINUSE})
"""Answers that mean: somebody else has that name, address or prefix."""

RETRYABLE = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ENOMEM, errno.EBUSY}
)
"""Answers that can be different a moment later."""


def explain_refusal(action: str, number: int, *, needs: str = "") -> DataPlaneError:
    """Turn the kernel's error number into the error the daemon understands.

    Args:
        action: What was asked, in words: ``set the MTU of qgw1``.
        number: The errno value, positive.
        needs: What to install if the kernel lacks it; becomes the hint.
    """
    text = f"the kernel refused to {action}: {os.strerror(number)}"
    if number in {errno.EPERM, errno.EACCES}:
        return PlanePermissionError(text, PERMISSION_HINT)
    if number in UNSUPPORTED:
        return PlaneUnsupportedError(
            text, needs or "this kernel lacks the feature; load its module"
        )
    if number in TAKEN:
        return PlaneConflictError(
            text, "something else on this host has that name or address: use another"
        )
    return DataPlaneError(text, retryable=number in RETRYABLE)


@contextmanager
def kernel_call(action: str, *, needs: str = "") -> Iterator[None]:
    """Translate what goes wrong inside, from pyroute2 or a socket.

    Raises:
        DataPlaneError: Or the subclass that fits the kernel's error number.
    """
    try:
        yield
    except NetlinkError as error:
        raise explain_refusal(action, abs(error.code), needs=needs) from None
    except OSError as error:
        raise explain_refusal(action, error.errno or errno.EIO, needs=needs) from None
