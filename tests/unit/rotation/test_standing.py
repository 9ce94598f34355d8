"""A tunnel's standing alone: its phase, its reason, and what is said of both."""

from gateway.rotation.events import TunnelBlocked, TunnelUnproven, TunnelUp
from gateway.rotation.phases import Change, TunnelPhase
from gateway.rotation.standing import TunnelStanding

NAME = "paris"


def connecting() -> TunnelStanding:
    standing = TunnelStanding(NAME)
    standing.start()
    return standing


def up() -> TunnelStanding:
    standing = connecting()
    list(standing.prove(1, ""))
    return standing


def test_proof_is_said_once() -> None:
    standing = connecting()
    assert list(standing.prove(1, "")) == [TunnelUp(NAME, 1)]
    assert list(standing.prove(2, "")) == []
    assert (standing.phase, standing.reason) == (TunnelPhase.UP, "")


def test_doubt_is_said_once_and_its_newest_reason_shown() -> None:
    standing = up()
    assert list(standing.doubt("no packet")) == [TunnelUnproven(NAME, "no packet")]
    assert list(standing.doubt("no route")) == []
    assert (standing.phase, standing.reason) == (TunnelPhase.UNPROVEN, "no route")


def test_a_block_is_said_once_and_doubt_does_not_end_it() -> None:
    standing = up()
    assert list(standing.block("too old", Change.LAPSE)) == [
        TunnelBlocked(NAME, "too old")
    ]
    assert list(standing.block("closed", Change.CLOSE)) == []
    assert list(standing.doubt("no packet")) == []
    assert (standing.phase, standing.reason) == (TunnelPhase.BLOCKED, "closed")


def test_proof_beside_an_obstacle_is_doubt() -> None:
    standing = up()
    list(standing.block("too old", Change.LAPSE))
    assert list(standing.prove(2, "no route")) == [TunnelUnproven(NAME, "no route")]
    assert standing.phase is TunnelPhase.UNPROVEN
    assert list(standing.prove(2, "")) == [TunnelUp(NAME, 2)]


def test_a_first_epoch_after_a_block_has_yet_to_be_proven() -> None:
    standing = up()
    list(standing.block("too old", Change.LAPSE))
    standing.commit(9)
    assert standing.phase is TunnelPhase.CONNECTING
    assert standing.reason == "waiting for a packet that proves epoch 9"


def test_a_rotation_of_a_tunnel_that_is_up_changes_nothing() -> None:
    standing = up()
    standing.commit(2)
    standing.fail("no answer")
    assert (standing.phase, standing.reason) == (TunnelPhase.UP, "")


def test_a_failure_tells_why_there_is_no_first_epoch() -> None:
    standing = connecting()
    standing.fail("no answer")
    assert (standing.phase, standing.reason) == (TunnelPhase.CONNECTING, "no answer")


def test_keys_of_an_earlier_run_are_up_only_if_they_were_in_force() -> None:
    proven, unproven = TunnelStanding(NAME), TunnelStanding(NAME)
    proven.adopt(proven=True)
    unproven.adopt(proven=False)
    assert (proven.phase, proven.reason) == (TunnelPhase.UP, "")
    assert unproven.phase is TunnelPhase.UNPROVEN
    assert unproven.reason
