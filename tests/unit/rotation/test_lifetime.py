"""The lifetime alone: begun by a commit, renewed by proof, ended for good."""

import pytest

from gateway.rotation import limits
from gateway.rotation.actions import GrantPassing, RevokePassing
from gateway.rotation.epochs import Epoch
from gateway.rotation.lifetime import Lifetime

NOW = 1000.0
LIFETIME = 30.0
INTERVAL = 10.0


def begun() -> tuple[Lifetime, Epoch]:
    lifetime, epoch = Lifetime(LIFETIME), Epoch(1)
    lifetime.begin(epoch, INTERVAL, now=NOW)
    return lifetime, epoch


def test_a_first_epoch_passes_for_its_lifetime() -> None:
    lifetime, epoch = begun()
    assert lifetime.expires_at == epoch.ends_at == NOW + LIFETIME
    assert not lifetime.is_over(now=NOW + LIFETIME - 0.1)
    assert lifetime.is_over(now=NOW + LIFETIME)


def test_only_proof_lets_pass_for_longer() -> None:
    lifetime, _ = begun()
    second = Epoch(2)
    lifetime.begin(second, INTERVAL, now=NOW + INTERVAL)
    assert lifetime.expires_at == NOW + LIFETIME
    assert lifetime.renew(second) == GrantPassing(NOW + INTERVAL + LIFETIME)
    assert lifetime.expires_at == NOW + INTERVAL + LIFETIME


def test_what_is_revoked_never_ends_again() -> None:
    lifetime, _ = begun()
    assert lifetime.revoke() == RevokePassing()
    assert lifetime.expires_at is None
    assert not lifetime.is_over(now=NOW + 10 * LIFETIME)


@pytest.mark.parametrize(
    ("interval", "seconds", "patience"),
    [
        (10.0, 30.0, limits.PROOF_TIMEOUT),
        (10.0, 14.0, limits.PROOF_SHARE * 10.0),
        (2.0, 4.0, 2.0),
    ],
)
def test_proof_has_the_time_that_the_lifetime_leaves(
    interval: float, seconds: float, patience: float
) -> None:
    epoch = Epoch(1)
    Lifetime(seconds).begin(epoch, interval, now=NOW)
    assert epoch.judge_at == NOW + patience
