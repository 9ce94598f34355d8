"""Roles at the control socket: those who steer, and those who only look."""

from enum import StrEnum
from typing import Final

from gateway.control.peer import Peer, is_privileged
from gateway.control.schema import ErrorCode, Method
from gateway.errors import ControlError


class Access(StrEnum):
    """What a connection may do; it follows from the socket and is checked there."""

    CONTROL = "control"
    VIEW = "view"


READING: Final = frozenset(
    {
        Method.STATUS,
        Method.TUNNEL_LIST,
        Method.TUNNEL_SHOW,
        Method.KEYSTORE_STATUS,
        Method.QKD_LINKS,
        Method.QKD_STATUS,
        Method.NETWORK,
        Method.IDENTITY_SHOW,
        Method.APPROVALS,
    }
)
"""Methods that change nothing. A new method changes something unless it is added."""

VIEWING: Final = READING - {Method.QKD_STATUS}
"""Methods of those who only look. `qkd.status` asks every KME, each time."""


def may_enter(peer: Peer, role: Access, groups: dict[Access, int | None]) -> bool:
    """Whether a peer may connect to the socket of a role.

    Root and the daemon's own user may, members of the role's group may, and those who
    may steer may look.
    """
    allowed = {groups.get(role), groups.get(Access.CONTROL)} - {None}
    return is_privileged(peer) or bool(allowed & peer.groups)


def check_method(role: Access, method: str) -> None:
    """See that a role may use a method.

    Raises:
        ControlError: It may not.
    """
    if role is Access.VIEW and method not in VIEWING:
        raise ControlError(
            "you may look, and change nothing",
            "ask root, or a member of the control group",
            code=ErrorCode.NOT_PERMITTED,
        )
