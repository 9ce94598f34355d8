"""Whatever is cut between two ends, and for how long: what they say comes to be so.

Under a stepped clock, over planes that move sending at once (ESP) and after their own
proof (WireGuard):

* Up at an end means that packets pass, or did a little while ago.
* Once everything passes again, both ends are up a little while later.
* Nothing passes longer than the lifetime of what was in force.
* A path that is cut costs no more handshakes than a path that works.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rotation.phases import TunnelPhase
from tests.property.tunnel_ends import (
    INTERVAL,
    LIFETIME,
    STEP,
    End,
    Paths,
    make_ends,
)

LATE = {False: 55.0, True: 110.0}
"""Seconds until a cut is known at both ends, by how the plane moves: silence, the next
look at the kernel, and the proof that a new epoch lacks."""

MENDED = 15.0
"""Seconds after which both ends are up again: a handshake may have to time out."""

SEGMENTS = st.lists(
    st.tuples(
        st.sampled_from([3.0, 20.0, 70.0, 130.0, 500.0]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def passes(ends: tuple[End, End], now: float) -> bool:
    """Whether a packet passes each way."""
    return all(end.may_pass(now) and end.send(now) for end in ends)


class Observer:
    """Looks at both ends in each step."""

    def __init__(self, ends: tuple[End, End], paths: Paths, *, late: bool) -> None:
        self.ends, self.paths, self.patience = ends, paths, LATE[late]
        self.now = 1000.0
        self.cut_since: float | None = None
        self.open_since = self.now

    def live(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += STEP
            for end in self.ends:
                end.step(self.now)
            self.look()

    def change(self, out: bool, back: bool, control: bool) -> None:
        paths = self.paths
        same = (paths.out, paths.back) == (out, back)
        paths.out, paths.back, paths.control = out, back, control
        if paths.are_open():
            self.open_since = self.now
        # One way cut and nothing to be asked: one end cannot know.
        cut = not (out and back) and (control or not (out or back))
        # Of another cut each end has to find out anew: what arrived before it counts.
        since = self.cut_since if same else None
        self.cut_since = (since or self.now) if cut else None

    def look(self) -> None:
        now = self.now
        phases = [end.rotation.phase for end in self.ends]
        if self.cut_since is not None and now - self.cut_since > self.patience:
            assert TunnelPhase.UP not in phases, (now - self.cut_since, phases)
        if self.paths.are_open() and now - self.open_since > MENDED:
            assert phases == [TunnelPhase.UP] * 2, [
                (end.rotation.phase, end.rotation.reason) for end in self.ends
            ]
        for end in self.ends:
            expires_at = end.rotation.expires_at
            assert expires_at is not None or not end.may_pass(now)
            assert expires_at is None or end.granted_until <= expires_at + STEP


@settings(max_examples=60, deadline=None)
@given(late=st.booleans(), segments=SEGMENTS)
def test_what_ends_say_comes_to_be_so(
    late: bool, segments: list[tuple[float, bool, bool, bool]]
) -> None:
    first, second, paths = make_ends(late=late)
    observer = Observer((first, second), paths, late=late)
    for end in (first, second):
        end.rotation.up(now=observer.now)
    observer.live(5.0)
    assert passes((first, second), observer.now)
    for seconds, out, back, control in segments:
        observer.change(out, back, control)
        observer.live(seconds)
    observer.change(out=True, back=True, control=True)
    observer.live(60.0)
    assert passes((first, second), observer.now)
    lived = observer.now - 1000.0
    # Each cut may cost the two that find out, and mending one more.
    assert len(first.commits) <= 2 + lived / INTERVAL * 1.5 + 4 * len(segments)


@settings(max_examples=4, deadline=None)
@given(late=st.booleans(), out=st.booleans())
def test_a_path_that_stays_cut_costs_one_epoch_a_lifetime(
    late: bool, out: bool
) -> None:
    first, second, paths = make_ends(late=late)
    observer = Observer((first, second), paths, late=late)
    for end in (first, second):
        end.rotation.up(now=observer.now)
    observer.live(30.0)
    observer.change(out=out, back=False, control=True)
    before = len(first.commits)
    observer.live(10 * LIFETIME)
    assert len(first.commits) - before <= 10 + 4
