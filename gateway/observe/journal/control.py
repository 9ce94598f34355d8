"""Wording of what happens at the control sockets."""

from logging import ERROR, INFO, WARNING
from typing import Any, Final

from gateway.events.control import (
    CommandGiven,
    ControlExhausted,
    ControlGroupMissing,
    ControlRefused,
    ControlStranger,
    ViewSocketMissing,
)
from gateway.events.faults import (
    ControlFault,
)
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        CommandGiven,
        "command",
        INFO,
        "{text}",
    ),
    Wording(
        ControlGroupMissing,
        "control-root-only",
        WARNING,
        "group {group} does not exist: only root can use the control socket {path};"
        " to let its members in, run groupadd --system {group} and restart qgwd",
    ),
    Wording(
        ViewSocketMissing,
        "control-no-view",
        WARNING,
        "nobody can only look: {message}; {hint}",
    ),
    Wording(
        ControlExhausted,
        "control-exhausted",
        ERROR,
        "cannot take a control connection: {why}",
    ),
    Wording(
        ControlRefused,
        "control-refused",
        WARNING,
        "refused a control connection: {why}",
    ),
    Wording(
        ControlStranger,
        "control-refused",
        WARNING,
        "refused control connection of uid {uid:d} (pid {pid:d})",
    ),
    Wording(
        ControlFault,
        "control-fault",
        ERROR,
        "fault in method {method}: {error} at\n{places}",
    ),
)
