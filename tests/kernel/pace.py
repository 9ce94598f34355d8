"""How fast the tests' machine is: a virtual machine may be 25 times slower."""

import os

IN_VM = os.environ.get("QGW_IN_VM") == "1"

PACKET_INTERVAL = 0.01 if IN_VM else 0.001
"""Seconds; an emulated processor cannot send and receive four packets each
millisecond, and a queue that overflows would look like a lost packet."""

POLL_INTERVAL = 0.05 if IN_VM else 0.02

IN_FORCE_LIMIT = 5.0
"""Seconds from the commit until an epoch must be in force at both ends."""

GRACE = 0.5 if IN_VM else 0.2
"""Seconds an old epoch goes on receiving what is under way; the daemon waits longer."""

ARRIVAL_LIMIT = 1.0
"""Seconds for a packet to arrive; it takes 1 ms on an idle machine. What must not
arrive is waited for as long."""

UNDER_WAY_LIMIT = 5.0
"""Seconds until a packet that was sent and has not arrived is lost."""

GRANT_MARGIN = 0.8 if IN_VM else 0.1
"""Seconds by which a grant that was restored may end late: the kernel counts from when
it reads the request, and an emulated processor takes its time to get there."""

SHORT_LIFETIME = 8 if IN_VM else 2
"""Seconds of an SA that must live for a rotation and then expire."""

TEST_LIMIT = 480 if IN_VM else 180
"""Seconds until a test hangs."""
