"""Facts of the control sockets."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class CommandGiven(Event):
    """Somebody gave a command that changes something, and what became of it.

    Attributes:
        user: Name of the user, or its number.
        text: Who, what with which values, and the result, in one line.
    """

    user: str
    text: str


@dataclass(frozen=True, slots=True)
class ControlGroupMissing(Event):
    """The control group does not exist, so that only root can control the daemon.

    Attributes:
        group: Its name.
        path: The socket.
    """

    group: str
    path: str


@dataclass(frozen=True, slots=True)
class ViewSocketMissing(Event):
    """Nobody can only look: there is no socket for it.

    Attributes:
        message: Why.
        hint: What cures it.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class ControlExhausted(Event):
    """The host lacks what a control connection needs.

    Attributes:
        why: The system's words.
    """

    why: str


@dataclass(frozen=True, slots=True)
class ControlRefused(Event):
    """A control connection was refused.

    Attributes:
        why: Why, or whose it was.
    """

    why: str


@dataclass(frozen=True, slots=True)
class ControlStranger(Event):
    """A user who may not control the daemon tried to.

    Attributes:
        uid: Whose connection it was.
        pid: Of which process.
    """

    uid: int
    pid: int
