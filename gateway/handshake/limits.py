"""Limits and timers of the protocol machine, each with its reason.

Times are seconds.
"""

from typing import Final

INITIAL_RTO: Final = 0.1
"""First retransmission when the path is unknown: two gateways that start together
must carry traffic within 0.3 s, and the one that starts later is found by the second
M1; on a satellite path two or three are sent in vain."""

MIN_RTO: Final = 0.2
"""A faster retransmission finds a busy peer, not a lost datagram."""

MAX_RTO: Final = 3.0
"""Between attempts at a dead peer: how long after its return a tunnel may wait."""

RTO_GROWTH: Final = 2.0
"""Back-off factor: 0.1, 0.2, 0.4, 0.8, 1.6, 3, 3 ..."""

RTT_FACTOR: Final = 1.5
"""A retransmission waits this many round trips, so that jitter does not trigger it."""

INITIATION_TIMEOUT: Final = 10.0
"""An M1 not answered by now is made anew, with fresh ephemeral keys: sooner than
the responder forgets its answer to the old one."""

DOUBT_TIMEOUT: Final = 1.0
"""After an M2 that is authentic but for its last tag: time for one more, which nobody
tampered with. As a rule none comes, since a secret differs between the two ends, and
only another M1 finds out when it does no more."""

COMMIT_TIMEOUT: Final = 10.0
"""M3 not answered by now: the responder forgot, start over at a new epoch."""

HEAL_SHARE: Final = 0.25
"""Share of the rotation interval that none of the waits for a peer may be longer
than, where the interval is short: a tunnel heals within one interval of its cause,
which may take two of them, and the handshake."""

MIN_COMMIT_TIMEOUT: Final = 2.0
"""... but M3 is given as long as three tries take on a satellite's path."""

MIN_PING_RETRY: Final = 0.25
"""... and a ping as long as its answer may take."""

HALF_OPEN_TIMEOUT: Final = 15.0
"""A responder keeps what no M3 has followed this long: longer than
`COMMIT_TIMEOUT` plus a satellite's round trip, so it never forgets first."""

MAX_HALF_OPEN: Final = 4
"""Pending handshakes a tunnel can have at the responder; replays share them."""

MAX_EPOCH: Final = 2**48
"""Highest epoch of a peer's that is believed: at the shortest interval it is reached
in 17 million years, and the numbers on the wire (64 bits) never run out above it."""

MAX_EPOCH_LEAP: Final = 2**26
"""How far an epoch of the peer's may be above ours. Honest ends differ by the epochs
since a backup that one of them was restored from, or since a state folder that it lost,
and by attempts in vain: one every 2 s for four years is less. A peer out of its mind
needs four million handshakes to the end of the numbers, not one."""

REMEMBERED_INITIATIONS: Final = 16_384
"""M1s remembered, 2 MiB: three intervals of a hub with 5,000 tunnels. An older one
is refused by its epoch."""

PEER_RATE: Final = 2.0
"""New epochs a second that one tunnel's peer may begin, in the long run: four times
those of the shortest interval."""

PEER_BURST: Final = 20.0
"""... and at once: attempts in vain follow each other by half a second at first, and an
operator may rotate a few times. Each costs both ends their KEMs, a write to the disk
and changes in the kernel."""

MOVE_RATE: Final = 0.5
"""Times a second that a peer is followed to another address: each is a line in the log,
changes in the kernel, and perhaps an epoch. An address translator that forgets does so
after half a minute."""

MOVE_BURST: Final = 5.0
"""... and at once; where an epoch is committed from is followed in any case."""

CONTROL_RATE: Final = 1000.0
"""Control messages a second of one peer that are acted on: each may cost an answer, and
some the store. Stocks are compared page by page, no faster than the path answers."""

CONTROL_BURST: Final = 2000.0
"""... and at once: what announces 128,000 keys."""

UNKNOWN_PAUSE: Final = 1.0
"""An address from which an identity came that nobody pinned, and that has shown that it
receives what is sent to it, is not listened to for this long."""

MAX_PAUSED: Final = 1024
"""Addresses that are not listened to at once; beyond, the oldest are heard again."""

MAX_ANSWERS: Final = 16
"""Times that one M2 or M4 is repeated: an initiator asks ten times at most for each
before it gives up, and whoever recorded its question may ask for ever."""

ALIVE: Final = 35.0
"""A peer that was heard, authentically, within this is where it was: it is pinged every
`PING_INTERVAL`, and is silent after three of them."""

REPLY_RATE: Final = 1000.0
"""Cookies a second for all who are not alive: 3 % of a core; the branches of a hub that
lost its power, 5,000, come back within five seconds."""

REPLY_BURST: Final = 1000.0
"""... and at once."""

PEER_REPLIES: Final = 20.0
"""Cookies a second, and at once, for the address of one peer that is alive, and may be
written into any packet: it needs one in two minutes."""

GUEST_RATE: Final = 200.0
"""Initiations a second that are read, under load, of all addresses where no peer is
alive, and that have shown a cookie: 4 % of a core."""

GUEST_BURST: Final = 400.0
"""... and at once."""

LOAD_RATE: Final = 400.0
"""Initiations a second above which a responder asks for cookies: about a third of
one core, which leaves the rest to those who are already connected."""

LOAD_BURST: Final = 800.0
"""Initiations at once before that: a hub's branches returning after a power cut."""

LOAD_ASSEMBLIES: Final = 256
"""Unfinished reassemblies above which cookies are asked for too."""

LOAD_HOLD: Final = 1.0
"""Cookies are asked for this long after the last overload."""

COOKIE_LIFETIME: Final = 120.0
"""A cookie secret's age; the one before it is accepted as long again (WireGuard)."""

COOKIE_USE: Final = 115.0
"""An initiator uses a cookie this long: less than it is accepted."""

PING_INTERVAL: Final = 10.0
"""The initiator pings when it heard nothing for this long; also keeps NAT open."""

PING_RETRY: Final = 1.0
"""Between unanswered pings."""

SILENCE: Final = 3 * PING_INTERVAL
"""The responder, which is pinged, calls the peer silent after this long."""

PING_ATTEMPTS: Final = 5
"""Unanswered pings after which the peer counts as gone; and what a responder sends of
its own to a silent one."""

REPLAY_WINDOW: Final = 1024
"""Control datagrams that may overtake each other."""

DOUBLE_GRACE: Final = 5.0
"""A datagram of the session before may be this long on its way after the peer has shown
that it holds the newest; one that comes later was sent by another machine."""

MAX_CONTROL_DATAGRAMS: Final = 2**48
"""Sent under one key; AES-GCM allows far more than an epoch can send."""

MAX_PENDING_EVENTS: Final = 4096
"""Events a driver may leave unread before drops are no longer reported singly."""
