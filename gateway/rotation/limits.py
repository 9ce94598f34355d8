"""Timers of rotation, each with its reason. Times are seconds."""

from typing import Final

FIRST_POLL: Final = 0.02
"""After activation: the probe of a local link is already back."""

MAX_POLL: Final = 0.25
"""Between polls while an epoch is not in force: WireGuard's lost handshakes are
started again by polls, and must be done within five seconds."""

POLL_GROWTH: Final = 2.0

COUNTER_POLL: Final = 10.0
"""Between reads of a tunnel's counters once all is in force: also how long keys that
somebody removed from the kernel may be missed."""

COUNTER_SHARE: Final = 0.2
"""... but no more than this share of the interval, within which a tunnel heals."""

FORCE_REPEAT: Final = 0.5
"""Between notices that an epoch is in force here, until the peer echoes one."""

MAX_FORCE_NOTICES: Final = 20
"""Notices sent for one epoch: after ten seconds the peer is deaf or gone."""

RETIRE_DELAY: Final = 3.0
"""The old epoch's receive side outlives the new one's proof by this: far longer
than any datagram is delayed on the way."""

RETIRE_SHARE: Final = 0.25
"""... but by no more than this share of the interval, where it is short."""

MIN_SPACING_SHARE: Final = 0.5
"""A scheduled epoch follows an unscheduled one by at least this share of the
interval, so that a rotation by hand does not cause two in a row."""

FIRST_RETRY: Final = 0.5
"""After a refused or failed handshake."""

MAX_RETRY: Final = 4.0
"""Between attempts: a tunnel comes back this soon after its cause has gone."""

RETRY_SHARE: Final = 0.5
"""... and after this share of the interval, within which a tunnel heals."""

RETRY_GROWTH: Final = 1.6

SPENT_GROWTH: Final = 2.0
"""Growth of the wait after attempts that each cost a QKD key: whoever corrupts or
drops what follows M2 burns one an attempt."""

SPENT_SHARE: Final = 0.5
"""... up to this share of the interval: about two keys an interval, instead of one,
is all that such an attacker gets, and the tunnel still heals within one."""

LATE_FACTOR: Final = 1.5
"""A responder that saw no new epoch for this many intervals asks for one."""

LATE_REPEAT: Final = 5.0
"""Between such requests."""

LIFETIME_MARGIN: Final = 1.0
"""The kernel forgets an epoch this long after we would have: it is the second
line, for when the daemon is dead."""

MAX_EPOCH: Final = 2**48
"""Highest epoch of a peer's that is believed: at the shortest interval it is reached
in 17 million years, and the numbers on the wire (64 bits) never run out above it."""

FORCE_PATIENCE: Final = 6.0
"""The next epoch waits this long for the present one to be in force, if lifetime
allows: WireGuard repeats a lost handshake after 5 s and a third."""
