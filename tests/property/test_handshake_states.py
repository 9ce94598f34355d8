"""Real handshakes against the tables: every input in every state, and in any order."""

import itertools
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.handshake import limits
from gateway.handshake.events import (
    CommitReceived,
    DatagramDropped,
    EpochCommitted,
    EpochPrepared,
    Event,
    HandshakeFailed,
    HandshakeRefused,
    InitiationRefused,
    QKDKeyRequested,
)
from gateway.handshake.states import (
    INITIATOR_INPUTS,
    INITIATOR_STEPS,
    RESPONDER_INPUTS,
    RESPONDER_STEPS,
    InitiatorInput,
    InitiatorState,
    ResponderInput,
    ResponderState,
)
from gateway.secret import Secret
from gateway.wire.payloads import Policy, Status
from tests.property.handshake_ends import InitiatorEnd, ResponderEnd
from tests.unit.handshake.pair import TUNNEL, Pair

MAX_INPUTS = 14
"""Long enough to reach the end, and to go on after it."""

I: TypeAlias = InitiatorInput  # noqa: E741  # tables are read in columns
R: TypeAlias = ResponderInput
IS: TypeAlias = InitiatorState
RS: TypeAlias = ResponderState

INITIATOR = {
    (IS.SENT, I.RESPONSE): (IS.KEY, QKDKeyRequested),
    (IS.SENT, I.COOKIE): (IS.SENT, None),
    (IS.KEY, I.KEY): (IS.VERIFIED, EpochPrepared),
    (IS.VERIFIED, I.PREPARED): (IS.COMMITTING, None),
    (IS.COMMITTING, I.CONFIRMATION): (IS.COMMITTED, EpochCommitted),
    (IS.COMMITTING, I.CONTROL): (IS.COMMITTED, EpochCommitted),
}
"""Where inputs lead, and what the driver is told; all others lead nowhere."""

RESPONDER = {
    (RS.ASKED, R.YES): (RS.ANSWERED, None),
    (RS.ASKED, R.NO): (RS.REFUSED, InitiationRefused),
    (RS.ANSWERED, R.COMMIT): (RS.COMMITTING, CommitReceived),
    (RS.COMMITTING, R.INSTALLED): (RS.COMMITTED, None),
}

DATAGRAMS = {I.RESPONSE, I.COOKIE, I.CONFIRMATION, I.CONTROL, R.COMMIT}
INITIATOR_LIVING = [state for state, steps in INITIATOR_STEPS.items() if steps]
RESPONDER_LIVING = [state for state, steps in RESPONDER_STEPS.items() if steps]


def reason(state: IS | RS, what: I | R) -> str:
    """Return why a datagram is dropped in a state that does not take it."""
    if state in {IS.ENDED, RS.ENDED}:
        return "unknown session"
    doubled = what is I.RESPONSE and state is not IS.COMMITTED
    return "duplicate" if doubled or state is RS.COMMITTING else "unexpected"


def check(log: list[Event], told: type[Event] | None, dropped: str) -> None:
    """Insist that the driver was told just that, and drops have just this reason."""
    kinds = [type(event) for event in log if not isinstance(event, DatagramDropped)]
    assert kinds == ([told] if told else [])
    reasons = {event.reason for event in log if isinstance(event, DatagramDropped)}
    assert reasons == ({dropped} if dropped else set())


@pytest.mark.parametrize(("state", "what"), list(itertools.product(IS, I)))
def test_every_input_of_an_initiator(state: IS, what: I) -> None:
    end = InitiatorEnd(state)
    after, told = INITIATOR.get((state, what), (state, None))
    end.give(what)
    assert end.handshake.state is after
    taken = (state, what) in INITIATOR
    assert taken is (INITIATOR_INPUTS[what] is state)
    assert after in {state, *INITIATOR_STEPS[state].values()}
    # A session takes control messages, also once its handshake is over.
    in_session = (state, what) == (IS.COMMITTED, I.CONTROL)
    drops = what in DATAGRAMS and not taken and not in_session
    check(end.pair.a.log, told, reason(state, what) if drops else "")


@pytest.mark.parametrize(("state", "what"), list(itertools.product(RS, R)))
def test_every_input_of_a_responder(state: RS, what: R) -> None:
    end = ResponderEnd(state)
    after, told = RESPONDER.get((state, what), (state, None))
    end.give(what)
    assert end.handshake.state is after
    taken = (state, what) in RESPONDER
    assert taken is (RESPONDER_INPUTS[what] is state)
    assert after in {state, *RESPONDER_STEPS[state].values()}
    # The M3 of a committed epoch is answered with the same M4 again.
    again = (state, what) == (RS.COMMITTED, R.COMMIT)
    drops = what in DATAGRAMS and not taken and not again
    check(end.pair.b.log, told, reason(state, what) if drops else "")


@given(walk=st.lists(st.sampled_from(list(I)), max_size=MAX_INPUTS))
def test_an_initiator_goes_where_its_table_says(walk: list[I]) -> None:
    end = InitiatorEnd()
    state = IS.SENT
    for what in walk:
        state, _ = INITIATOR.get((state, what), (state, None))
        end.give(what)
        assert end.handshake.state is state


@given(walk=st.lists(st.sampled_from(list(R)), max_size=MAX_INPUTS))
def test_a_responder_goes_where_its_table_says(walk: list[R]) -> None:
    end = ResponderEnd()
    state = RS.ASKED
    for what in walk:
        state, _ = RESPONDER.get((state, what), (state, None))
        end.give(what)
        assert end.handshake.state is state


@pytest.mark.parametrize("state", INITIATOR_LIVING)
def test_an_initiator_ends_by_its_driver_by_time_and_by_a_newer_one(state: IS) -> None:
    for ending in ("driver", "time", "newer"):
        end = InitiatorEnd(state)
        if ending == "driver":
            end.pair.a.machine.abort(end.handshake.handshake_id, "cannot")
        elif ending == "newer":
            end.pair.start()
        else:
            end.pair.a.machine.handle_timer(now=end.handshake.deadline)
        end.pair.a.drive(end.pair.now)
        assert end.handshake.state is IS.ENDED
        assert len(end.pair.a.events(HandshakeFailed)) == 1


@pytest.mark.parametrize("state", INITIATOR_LIVING)
def test_a_configuration_ends_what_the_peer_cannot_have_committed(state: IS) -> None:
    end = InitiatorEnd(state)
    other = replace(end.pair.a_parameters, policy=Policy.REQUIRED)
    end.pair.a.machine.update_tunnel(other)
    after = state if state is IS.COMMITTING else IS.ENDED
    assert end.handshake.state is after


@pytest.mark.parametrize("state", RESPONDER_LIVING)
def test_a_responder_ends_by_its_driver_and_by_time(state: RS) -> None:
    for by_time in (False, True):
        end = ResponderEnd(state)
        if by_time:
            later = end.pair.now + limits.HALF_OPEN_TIMEOUT
            end.pair.b.machine.handle_timer(now=later)
        else:
            end.pair.b.machine.abort(end.handshake.handshake_id, "cannot")
        end.pair.b.drive(end.pair.now)
        assert end.handshake.state is RS.ENDED
        # The driver has heard of a refusal already.
        told = state is not RS.REFUSED
        assert len(end.pair.b.events(HandshakeFailed)) == told


def test_a_key_that_differs_leads_back_to_waiting() -> None:
    end = InitiatorEnd(IS.KEY)
    wrong = Secret(bytes(32))
    identifier = end.handshake.handshake_id
    end.pair.a.machine.provide_qkd_key(identifier, wrong, now=end.pair.now)
    assert end.handshake.state is IS.SENT
    end.give(I.RESPONSE)
    assert end.handshake.state is IS.SENT


def test_a_refusal_ends_an_initiator_without_a_failure() -> None:
    pair = Pair(policy=Policy.OFF, responder_policy=Policy.REQUIRED)
    identifier = pair.start()
    handshake = pair.a.machine._core.tunnels[TUNNEL].handshake
    assert handshake is not None
    assert handshake.handshake_id == identifier
    pair.pump()
    assert handshake.state is IS.ENDED
    (refused,) = pair.a.events(HandshakeRefused)
    assert isinstance(refused, HandshakeRefused)
    assert refused.status is Status.POLICY_MISMATCH
