"""Every (state, step) pair of both tables, and the rules above them."""

import itertools
from enum import Enum
from typing import Any

import pytest

from gateway.handshake.states import (
    GIVEN_UP,
    INITIATOR_INPUTS,
    INITIATOR_STEPS,
    RESPONDER_INPUTS,
    RESPONDER_STEPS,
    InitiatorInput,
    InitiatorState,
    InitiatorStep,
    ResponderInput,
    ResponderState,
    ResponderStep,
    after_initiator,
    after_responder,
)

S, K, V, C, D, E = InitiatorState
INITIATOR: dict[InitiatorStep, tuple[InitiatorState | None, ...]] = {
    #                      S     K     V     C     D     E
    InitiatorStep.CHOOSE:  (K,    None, None, None, None, None),
    InitiatorStep.VERIFY:  (V,    V,    None, None, None, None),
    InitiatorStep.DOUBT:   (S,    S,    None, None, None, None),
    InitiatorStep.COMMIT:  (None, None, C,    None, None, None),
    InitiatorStep.CONFIRM: (None, None, None, D,    None, None),
    InitiatorStep.END:     (E,    E,    E,    E,    None, None),
}  # fmt: skip

A, W, N, T, F, G = ResponderState
RESPONDER: dict[ResponderStep, tuple[ResponderState | None, ...]] = {
    #                      A     W     N     T     F     G
    ResponderStep.ANSWER:  (W,    None, None, None, None, None),
    ResponderStep.REFUSE:  (N,    None, None, None, None, None),
    ResponderStep.COMMIT:  (None, T,    None, None, None, None),
    ResponderStep.CONFIRM: (None, None, None, F,    None, None),
    ResponderStep.END:     (G,    G,    G,    G,    None, None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "step"), list(itertools.product(InitiatorState, InitiatorStep))
)
def test_every_pair_of_an_initiator(state: InitiatorState, step: InitiatorStep) -> None:
    expected = INITIATOR[step][list(InitiatorState).index(state)]
    if expected is None:
        with pytest.raises(ValueError, match=f"{step.name} of a handshake that is"):
            after_initiator(state, step)
    else:
        assert after_initiator(state, step) is expected


@pytest.mark.parametrize(
    ("state", "step"), list(itertools.product(ResponderState, ResponderStep))
)
def test_every_pair_of_a_responder(state: ResponderState, step: ResponderStep) -> None:
    expected = RESPONDER[step][list(ResponderState).index(state)]
    if expected is None:
        with pytest.raises(ValueError, match=f"{step.name} of a handshake that is"):
            after_responder(state, step)
    else:
        assert after_responder(state, step) is expected


def leading_to(steps: dict[Any, dict[Any, Any]], goal: Enum) -> set[tuple[Enum, Enum]]:
    return {
        (state, step)
        for state, row in steps.items()
        for step, after in row.items()
        if after is goal and state is not goal
    }


def test_only_an_m2_not_yet_verified_leads_back() -> None:
    assert leading_to(INITIATOR_STEPS, S) == {(K, InitiatorStep.DOUBT)}
    assert INITIATOR_INPUTS[InitiatorInput.RESPONSE] is S


def test_a_key_is_asked_for_and_m3_sent_only_after_m2() -> None:
    assert leading_to(INITIATOR_STEPS, K) == {(S, InitiatorStep.CHOOSE)}
    assert leading_to(INITIATOR_STEPS, C) == {(V, InitiatorStep.COMMIT)}
    assert INITIATOR_INPUTS[InitiatorInput.KEY] is K
    assert INITIATOR_INPUTS[InitiatorInput.PREPARED] is V


def test_only_the_peers_word_commits_an_initiator() -> None:
    assert leading_to(INITIATOR_STEPS, D) == {(C, InitiatorStep.CONFIRM)}
    words = {InitiatorInput.CONFIRMATION, InitiatorInput.CONTROL}
    assert {what for what, state in INITIATOR_INPUTS.items() if state is C} == words


def test_nothing_but_m3_makes_a_responder_commit() -> None:
    assert leading_to(RESPONDER_STEPS, T) == {(W, ResponderStep.COMMIT)}
    assert leading_to(RESPONDER_STEPS, F) == {(T, ResponderStep.CONFIRM)}
    assert RESPONDER_INPUTS[ResponderInput.COMMIT] is W


def test_a_refusal_leads_nowhere() -> None:
    assert set(RESPONDER_STEPS[N]) == {ResponderStep.END}


@pytest.mark.parametrize("steps", [INITIATOR_STEPS, RESPONDER_STEPS])
def test_every_state_is_reached_and_ends(steps: dict[Any, dict[Any, Any]]) -> None:
    states: list[Any] = list(steps)
    assert len(states) == len(type(states[0]).__members__)
    seen, new = {states[0]}, {states[0]}
    while new:
        new = {to for state in new for to in steps[state].values()} - seen
        seen |= new
    assert seen == set(states)
    final = {state for state, row in steps.items() if not row}
    assert {state.name for state in final} == {"COMMITTED", "ENDED"}
    for state in set(states) - final:
        assert steps[state][next(s for s in steps[state] if s.name == "END")] in final


def test_every_input_belongs_to_a_state_that_is_not_over() -> None:
    assert set(INITIATOR_INPUTS) == set(InitiatorInput)
    assert set(RESPONDER_INPUTS) == set(ResponderInput)
    assert all(INITIATOR_STEPS[state] for state in INITIATOR_INPUTS.values())
    assert all(RESPONDER_STEPS[state] for state in RESPONDER_INPUTS.values())


def test_what_is_given_up_has_a_reason() -> None:
    assert set(GIVEN_UP) == {state for state, row in INITIATOR_STEPS.items() if row}
