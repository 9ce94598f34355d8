"""Every input of a tunnel's rotation in every phase: which phase it leads to."""

import itertools
from collections.abc import Callable

import pytest

from gateway.rotation.phases import TunnelPhase
from gateway.wire.control import RotateReason
from tests.unit.rotation.rotations import LIFETIME, Stepped

D, C, N, U, B = (
    TunnelPhase.DOWN,
    TunnelPhase.CONNECTING,
    TunnelPhase.UNPROVEN,
    TunnelPhase.UP,
    TunnelPhase.BLOCKED,
)
PHASES = (D, C, N, U, B)
PROOF = frozenset({1})

Input = Callable[[Stepped], object]


def _prove(end: Stepped) -> None:
    end.rotation.trial.plane_polled(PROOF, now=end.now)
    end.rotation.trial.peer_in_force(1, echo=True, now=end.now)


INPUTS: dict[str, tuple[Input, tuple[TunnelPhase, ...]]] = {
    #                                                             D  C  N  U  B
    "up": (lambda e: e.rotation.up(now=e.now),                   (C, C, N, U, B)),
    "down": (lambda e: e.rotation.down(),                        (D, D, D, D, D)),
    "rotate": (
        lambda e: e.rotation.rotate(RotateReason.OPERATOR, now=e.now),
                                                                 (D, C, N, U, B)),
    "prepared": (lambda e: e.rotation.prepared(2),               (D, C, N, U, B)),
    "failed": (lambda e: e.fail(),                               (D, C, N, U, B)),
    "learned": (lambda e: e.rotation.learned(now=e.now),         (D, C, N, U, B)),
    "behind": (lambda e: e.rotation.behind(7, now=e.now),        (D, C, N, U, B)),
    "silent": (lambda e: e.rotation.peer_silent(now=e.now),      (D, C, N, U, B)),
    "closed": (lambda e: e.rotation.peer_closed(now=e.now),      (D, B, B, B, B)),
    "returns": (
        lambda e: e.rotation.peer_closed(now=e.now, returning=True),
                                                                 (D, B, B, B, B)),
    "proven": (_prove,                                           (D, U, U, U, B)),
    "half proven": (
        lambda e: e.rotation.trial.plane_polled(PROOF, now=e.now),
                                                                 (D, C, N, U, B)),
    "peer's half": (
        lambda e: e.rotation.trial.peer_in_force(1, echo=False, now=e.now),
                                                                 (D, C, N, U, B)),
    "lost": (
        lambda e: e.rotation.trial.plane_lost("gone", now=e.now),
                                                                 (D, N, N, N, B)),
    "obstacle": (
        lambda e: e.rotation.trial.obstructed("no route", now=e.now),
                                                                 (D, N, N, N, B)),
    "peer's obstacle": (
        lambda e: e.rotation.trial.peer_obstructed(is_there=True, now=e.now),
                                                                 (D, N, N, N, B)),
    "no poll": (
        lambda e: e.rotation.trial.plane_failed(now=e.now),      (D, C, N, U, B)),
    "lifetime": (lambda e: e.step(LIFETIME + 1),                 (D, B, B, B, B)),
}  # fmt: skip


def bring_to(phase: TunnelPhase) -> Stepped:
    """Return an initiator in a phase; where it has an epoch, that is number 1."""
    end = Stepped(initiator=True)
    if phase is not D:
        end.up()
        end.commit(1)
    if phase is N:
        end.step(7.0)
    elif phase is U:
        end.prove(1)
    elif phase is B:
        end.step(LIFETIME + 1)
    assert end.rotation.phase is phase
    return end


@pytest.mark.parametrize(("phase", "name"), list(itertools.product(PHASES, INPUTS)))
def test_every_input_in_every_phase(phase: TunnelPhase, name: str) -> None:
    end = bring_to(phase)
    give, after = INPUTS[name]
    give(end)
    assert end.rotation.phase is after[PHASES.index(phase)]
    # Only what is up needs no reason.
    assert bool(end.rotation.reason) is (end.rotation.phase is not U)


@pytest.mark.parametrize("phase", [C, N, U, B])
def test_an_epoch_agreed_on_proves_nothing(phase: TunnelPhase) -> None:
    end = bring_to(phase)
    end.commit(2)
    assert end.rotation.phase is (C if phase is B else phase)


def test_a_tunnel_that_is_down_commits_nothing() -> None:
    with pytest.raises(ValueError, match="commit of a tunnel that is down"):
        bring_to(D).commit(1)


@pytest.mark.parametrize("phase", [C, N, U, B])
def test_only_a_tunnel_that_is_down_adopts(phase: TunnelPhase) -> None:
    end = bring_to(phase)
    with pytest.raises(ValueError, match="start of a tunnel that is"):
        end.rotation.adopt((0,), active=0, expires_at=end.now + 5, now=end.now)
