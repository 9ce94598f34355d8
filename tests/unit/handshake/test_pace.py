"""A tunnel with a short rotation interval waits less for its peer."""

import dataclasses
import itertools

import pytest

from gateway.handshake import limits
from gateway.handshake.events import HandshakeFailed, PeerSilent
from gateway.handshake.pace import (
    commit_timeout,
    max_rto,
    ping_interval,
    ping_retry,
)
from gateway.wire.header import Type
from tests.unit.handshake.pair import TUNNEL, Pair, kind_of

SHORT = 5.0


def shorten(pair: Pair) -> None:
    """Give both ends a short interval."""
    for end in (pair.a, pair.b):
        old = end.machine._core.tunnels[TUNNEL].parameters
        end.machine.update_tunnel(dataclasses.replace(old, interval=SHORT))


@pytest.mark.parametrize("interval", [40.0, 120.0, 3600.0])
def test_usual_intervals_leave_the_limits_as_they_are(interval: float) -> None:
    assert max_rto(interval) == limits.MAX_RTO
    assert commit_timeout(interval) == limits.COMMIT_TIMEOUT
    assert ping_interval(interval) == limits.PING_INTERVAL
    assert ping_retry(interval) == limits.PING_RETRY


@pytest.mark.parametrize("interval", [5.0, 10.0, 20.0, 39.0])
def test_a_silent_peer_is_noticed_within_half_an_interval(interval: float) -> None:
    noticed = ping_interval(interval) + limits.PING_ATTEMPTS * ping_retry(interval)
    assert noticed <= interval / 2
    assert commit_timeout(interval) <= interval / 2


def test_a_responder_that_forgot_the_session_is_noticed_in_time() -> None:
    pair = Pair()
    shorten(pair)
    pair.handshake()
    pair.advance(SHORT / 2)
    assert pair.a.events(PeerSilent) == [PeerSilent(TUNNEL)]


def test_an_unanswered_commit_is_given_up_in_time() -> None:
    pair = Pair()
    shorten(pair)
    pair.handshake()
    epoch = pair.a.machine.committed(TUNNEL)
    pair.start()
    for target, source in ((pair.b, pair.a), (pair.a, pair.b)):
        pair.deliver(target, pair.sent(source))
    assert [kind_of(d) for d in pair.sent(pair.a)] == [Type.COMMIT]
    pair.advance(limits.MIN_COMMIT_TIMEOUT + 0.01)
    (failed,) = pair.a.events(HandshakeFailed)
    assert isinstance(failed, HandshakeFailed)
    assert failed.reason == "unconfirmed"
    assert pair.a.machine.committed(TUNNEL) == epoch


def test_a_dead_peer_is_tried_often_enough_to_be_found_in_time() -> None:
    pair = Pair()
    shorten(pair)
    pair.start()
    times = []
    for _ in range(90):
        pair.advance(0.1)
        if pair.sent(pair.a):
            times.append(pair.now)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) <= SHORT * limits.HEAL_SHARE + 0.11
