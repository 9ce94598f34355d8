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
"""Notices sent so often for one epoch: after ten seconds the peer is deaf or gone."""

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

PROOF_TIMEOUT: Final = 6.0
"""From an epoch's commit until it must be in force, or its rotation has failed:
WireGuard repeats a lost handshake after 5 s and a third. Until then its predecessor
carries, and no next epoch overtakes it."""

PROOF_SHARE: Final = 0.5
"""Where the lifetime leaves less, the proof is given at least this share of the
interval."""

UNPROVEN_POLL: Final = 0.5
"""Between polls of an epoch that missed `PROOF_TIMEOUT`, for as long as it takes: what
filtered it may go at any time, and then traffic is to flow within a second. Half as
often as before, since a hub may have thousands of them at once."""

LIVE_PROBE: Final = 10.0
"""An epoch in force is probed this often, as long as it lasts, where nothing else is
sent under it: that shows the peer that packets still pass."""

PROBED_SILENCE: Final = 25.0
"""Without a packet on a plane that is probed: two probes were lost, or their path."""

KEPT_SILENCE: Final = 65.0
"""The same on WireGuard, whose keepalives are 25 s apart: two were lost."""

CARRIER_SILENCE: Final = 30.0
"""An epoch carries while a later one waits for its proof, if something came under it
within this: longer than the time between WireGuard's keepalives."""

WORD_SILENCE: Final = 15.0
"""... and if the peer, since it committed the later one, said the same within this:
three times `SLOW_REPEAT`."""

BLIND_POLLS: Final = 3
"""Polls in a row that the kernel refuses, after which nobody knows what carries."""

SLOW_REPEAT: Final = 5.0
"""Between notices after the first `MAX_FORCE_NOTICES`: both ends may have proof, and
only the path of the notices been cut meanwhile."""

PAUSE_GROWTH: Final = 2.0
"""Growth of pauses between what must not be done again and again."""

FIRST_PAUSE: Final = 2.0
"""Between two epochs made since the plane lost its keys, or the peer moved: the first
is made at once. Somebody who fights over the plane would have us spend a QKD key on
each blow."""

LONGEST_PAUSE: Final = 600.0
"""... growing up to this: what has not mended itself in nine tries waits for people."""

FIRST_REPEAT: Final = 0.5
"""After a responder's first request that nothing answers, growing to `LATE_REPEAT`."""

FIRST_CLOSED: Final = 10.0
"""Until an initiator calls a peer that took the tunnel down on purpose. The peer asks
when it is up again; this is for when it has forgotten the session to ask over."""

LONGEST_CLOSED: Final = 60.0
"""... growing up to this: an attempt a minute costs neither end anything."""
