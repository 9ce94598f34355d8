"""States of a handshake at its two ends, as tables; nothing else changes them.

docs/protocol.md shows them, by scripts/draw-states. Rules, for the initiator:

1. M1 is answered once: only SENT takes an M2. What fails to verify leads back there,
   never on, since an honest M2 may yet come.
2. The QKD key is asked of the driver for an authentic M2 alone, and M3 leaves only once
   the driver prepared receiving for an M2 that verified whole.
3. Only proof that the peer has committed leads to COMMITTED.

For the responder:

4. Only an M3 that verifies leads to COMMITTING, out of ANSWERED alone. Until then
   nothing is spent but the CPU time of one answer: M1 is only weakly authentic.
5. REFUSED leads nowhere. It is there so that a repeated M1 gets the same answer.

For both:

6. COMMITTED is entered from COMMITTING alone. It and ENDED are final, and every other
   state can end.
7. An input belongs to one state. In any other it changes nothing: a datagram is dropped
   and counted, a driver's call comes too late and is passed over.
"""

from enum import Enum
from typing import Final


class InitiatorState(Enum):
    """Where a handshake that this end started stands.

    * SENT: M1 is out; M2 is awaited.
    * KEY: M2's payload verified; the driver fetches the QKD key.
    * VERIFIED: M2 verified whole; the driver prepares receiving.
    * COMMITTING: M3 is out; M4 is awaited.
    * COMMITTED: both ends have the epoch's keys.
    * ENDED: refused, failed or given up, without keys.
    """

    SENT = "sent"
    KEY = "key"
    VERIFIED = "verified"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ENDED = "ended"


class InitiatorStep(Enum):
    """What can happen to one; its value is what a diagram says of it."""

    CHOOSE = "M2 chooses a QKD key"
    VERIFY = "M2 verifies whole"
    DOUBT = "the last tag of M2 fails"
    COMMIT = "the driver prepared; M3 is sent"
    CONFIRM = "M4, or a control message under the new keys"
    END = "refused or failed"


class InitiatorInput(Enum):
    """What comes from outside, and is taken in one state only."""

    RESPONSE = "M2"
    COOKIE = "a cookie"
    KEY = "the driver gives the QKD key"
    PREPARED = "the driver prepared receiving"
    CONFIRMATION = "M4"
    CONTROL = "a control message under the new keys"


INITIATOR_STEPS: Final[dict[InitiatorState, dict[InitiatorStep, InitiatorState]]] = {
    InitiatorState.SENT: {
        InitiatorStep.CHOOSE: InitiatorState.KEY,
        InitiatorStep.VERIFY: InitiatorState.VERIFIED,
        InitiatorStep.DOUBT: InitiatorState.SENT,
        InitiatorStep.END: InitiatorState.ENDED,
    },
    InitiatorState.KEY: {
        InitiatorStep.VERIFY: InitiatorState.VERIFIED,
        InitiatorStep.DOUBT: InitiatorState.SENT,
        InitiatorStep.END: InitiatorState.ENDED,
    },
    InitiatorState.VERIFIED: {
        InitiatorStep.COMMIT: InitiatorState.COMMITTING,
        InitiatorStep.END: InitiatorState.ENDED,
    },
    InitiatorState.COMMITTING: {
        InitiatorStep.CONFIRM: InitiatorState.COMMITTED,
        InitiatorStep.END: InitiatorState.ENDED,
    },
    InitiatorState.COMMITTED: {},
    InitiatorState.ENDED: {},
}

INITIATOR_INPUTS: Final[dict[InitiatorInput, InitiatorState]] = {
    InitiatorInput.RESPONSE: InitiatorState.SENT,
    InitiatorInput.COOKIE: InitiatorState.SENT,
    InitiatorInput.KEY: InitiatorState.KEY,
    InitiatorInput.PREPARED: InitiatorState.VERIFIED,
    InitiatorInput.CONFIRMATION: InitiatorState.COMMITTING,
    InitiatorInput.CONTROL: InitiatorState.COMMITTING,
}

_SLOW: Final = ("expired", "this gateway was too slow to fetch or install the keys")
GIVEN_UP: Final[dict[InitiatorState, tuple[str, str]]] = {
    InitiatorState.SENT: (
        "timeout",
        (
            "no answer from the peer: it is down, the path is cut, or it does "
            "not know our fingerprint, or has another one than we think"
        ),
    ),
    InitiatorState.KEY: _SLOW,
    InitiatorState.VERIFIED: _SLOW,
    InitiatorState.COMMITTING: (
        "unconfirmed",
        "the peer did not confirm: it stopped, or the path is cut",
    ),
}
"""Reason, and one line for the operator, where the time of a handshake is over."""


class ResponderState(Enum):
    """Where a handshake that the peer started stands.

    * ASKED: M1 verified; the driver looks for a QKD key.
    * ANSWERED: M2 is out; M3 is awaited.
    * REFUSED: M2 said no; kept so that a repeated M1 gets the same answer.
    * COMMITTING: M3 verified; the driver consumes, prepares and activates.
    * COMMITTED: M4 is out; both ends have the epoch's keys.
    * ENDED: forgotten without keys.
    """

    ASKED = "asked"
    ANSWERED = "answered"
    REFUSED = "refused"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ENDED = "ended"


class ResponderStep(Enum):
    """What can happen to one; its value is what a diagram says of it."""

    ANSWER = "the driver says yes; M2 is sent"
    REFUSE = "driver or terms say no; M2 is sent"
    COMMIT = "M3 verifies"
    CONFIRM = "the driver consumed and installed; M4 is sent"
    END = "15 s, superseded or impossible"


class ResponderInput(Enum):
    """What comes from outside, and is taken in one state only."""

    YES = "the driver says yes"
    NO = "the driver says no"
    COMMIT = "M3"
    INSTALLED = "the driver installed the epoch"


RESPONDER_STEPS: Final[dict[ResponderState, dict[ResponderStep, ResponderState]]] = {
    ResponderState.ASKED: {
        ResponderStep.ANSWER: ResponderState.ANSWERED,
        ResponderStep.REFUSE: ResponderState.REFUSED,
        ResponderStep.END: ResponderState.ENDED,
    },
    ResponderState.ANSWERED: {
        ResponderStep.COMMIT: ResponderState.COMMITTING,
        ResponderStep.END: ResponderState.ENDED,
    },
    ResponderState.REFUSED: {
        ResponderStep.END: ResponderState.ENDED,
    },
    ResponderState.COMMITTING: {
        ResponderStep.CONFIRM: ResponderState.COMMITTED,
        ResponderStep.END: ResponderState.ENDED,
    },
    ResponderState.COMMITTED: {},
    ResponderState.ENDED: {},
}

RESPONDER_INPUTS: Final[dict[ResponderInput, ResponderState]] = {
    ResponderInput.YES: ResponderState.ASKED,
    ResponderInput.NO: ResponderState.ASKED,
    ResponderInput.COMMIT: ResponderState.ANSWERED,
    ResponderInput.INSTALLED: ResponderState.COMMITTING,
}


def after_initiator(state: InitiatorState, step: InitiatorStep) -> InitiatorState:
    """Return the state that a step of an initiator's handshake leads to.

    Raises:
        ValueError: The table has no such step.
    """
    try:
        return INITIATOR_STEPS[state][step]
    except KeyError:
        raise ValueError(f"{step.name} of a handshake that is {state.value}") from None


def after_responder(state: ResponderState, step: ResponderStep) -> ResponderState:
    """Return the state that a step of a responder's handshake leads to.

    Raises:
        ValueError: The table has no such step.
    """
    try:
        return RESPONDER_STEPS[state][step]
    except KeyError:
        raise ValueError(f"{step.name} of a handshake that is {state.value}") from None
