"""Every (state, input) pair of the epoch table."""

import itertools

import pytest

from gateway.rotation.epochs import TRANSITIONS, Epoch, EpochPhase

ALLOWED = {
    (EpochPhase.PREPARED, EpochPhase.COMMITTED),
    (EpochPhase.PREPARED, EpochPhase.RETIRED),
    (EpochPhase.COMMITTED, EpochPhase.IN_FORCE),
    (EpochPhase.COMMITTED, EpochPhase.RETIRED),
    (EpochPhase.IN_FORCE, EpochPhase.RETIRED),
}


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.product(EpochPhase, EpochPhase))
)
def test_every_pair(before: EpochPhase, after: EpochPhase) -> None:
    epoch = Epoch(7, before)
    if (before, after) in ALLOWED:
        epoch.move(after)
        assert epoch.phase is after
    else:
        with pytest.raises(ValueError, match="epoch 7"):
            epoch.move(after)
        assert epoch.phase is before


def test_the_table_names_every_phase() -> None:
    assert set(TRANSITIONS) == set(EpochPhase)
