"""The kernel's error numbers become errors that say what to do."""

import errno

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from gateway.dataplane.refusals import explain_refusal, kernel_call
from gateway.errors import (
    DataPlaneError,
    PlaneConflictError,
    PlanePermissionError,
    PlaneUnsupportedError,
)


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.EPERM, PlanePermissionError, "CAP_NET_ADMIN"),
        (errno.EOPNOTSUPP, PlaneUnsupportedError, "load esp4"),
        (errno.ENOSYS, PlaneUnsupportedError, "load esp4"),
        (errno.EEXIST, PlaneConflictError, "use another"),
    ],
)
@pytest.mark.parametrize("foreign", [NetlinkError, OSError])
def test_what_was_refused(
    foreign: type[Exception], number: int, kind: type[DataPlaneError], hint: str
) -> None:
    with pytest.raises(kind) as caught, kernel_call("do it", needs="load esp4"):
        raise foreign(number, "words of the library")
    assert "refused to do it" in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.__cause__ is None


def test_whether_a_retry_can_help() -> None:
    assert explain_refusal("x", errno.ENOBUFS).retryable
    assert not explain_refusal("x", errno.EINVAL).retryable


def test_our_own_errors_pass() -> None:
    with pytest.raises(PlaneConflictError, match="mine"), kernel_call("do it"):
        raise PlaneConflictError("mine")
