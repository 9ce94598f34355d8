"""Every (phase, change) pair of the phase table, and what must hold of all of them."""

import itertools

import pytest

from gateway.rotation.phases import TRANSITIONS, Change, TunnelPhase, after

D, C, N, U, B = (
    TunnelPhase.DOWN,
    TunnelPhase.CONNECTING,
    TunnelPhase.UNPROVEN,
    TunnelPhase.UP,
    TunnelPhase.BLOCKED,
)
TABLE = {
    #                 D     C     N     U     B
    Change.START:   (C,    None, None, None, None),
    Change.ADOPT:   (None, U,    None, None, None),
    Change.COMMIT:  (None, C,    N,    U,    C),
    Change.PROVE:   (None, U,    U,    U,    U),
    Change.DOUBT:   (None, N,    N,    N,    B),
    Change.LAPSE:   (None, B,    B,    B,    B),
    Change.CLOSE:   (None, B,    B,    B,    B),
    Change.STOP:    (D,    D,    D,    D,    D),
}  # fmt: skip


@pytest.mark.parametrize(
    ("phase", "change"), list(itertools.product(TunnelPhase, Change))
)
def test_every_pair(phase: TunnelPhase, change: Change) -> None:
    expected = TABLE[change][(D, C, N, U, B).index(phase)]
    if expected is None:
        with pytest.raises(ValueError, match=f"{change.value} of a tunnel that is"):
            after(phase, change)
    else:
        assert after(phase, change) is expected


def test_nothing_but_proof_leads_to_up() -> None:
    leads = {
        change
        for phase, changes in TRANSITIONS.items()
        for change, next_phase in changes.items()
        if next_phase is TunnelPhase.UP and phase is not TunnelPhase.UP
    }
    assert leads == {Change.PROVE, Change.ADOPT}


def test_every_phase_can_be_reached_and_left() -> None:
    seen, new = {TunnelPhase.DOWN}, {TunnelPhase.DOWN}
    while new:
        new = {to for phase in new for to in TRANSITIONS[phase].values()} - seen
        seen |= new
    assert seen == set(TunnelPhase)
