"""Bounds on the size of a KME's answer, and on the wait for it."""

from typing import Final

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for TCP and TLS together, or half a call's time if that is less: a KME stands
in the same building, and a dead one should leave time for the next."""

MAX_CONNECTIONS: Final = 4
"""To one KME at a time: stock keeping, an urgent key and a status, and one to spare."""

KEEP_ALIVE: Final = 15.0
"""Seconds an idle connection is kept: less than the 60 to 75 that servers commonly do,
so that we are the ones who close it."""

BODY_BASE: Final = 16 * 1024
"""Bytes an answer may have besides its keys: a status has under 1,000, an error page of
a proxy in front of a KME a few thousand."""

BODY_PER_KEY: Final = 1024
"""Bytes an answer may have for each key asked for: 256 bits take 44 and the key_ID 36,
some 110 with their member names; the rest is for extensions and white space."""

MAX_DEPTH: Final = 16
"""Nesting of a JSON answer: a key container has three levels, extensions a few more."""

MAX_DIGITS: Final = 18
"""Digits of a number in an answer: it fits 64 bits; Python's own limit is 4,300."""

MAX_SURPLUS: Final = 64
"""Entries in a container beyond those asked for, before all of it is refused."""

MAX_ID: Final = 256
"""Characters of an ID that a KME tells: shown to operators, so bounded."""

MAX_MESSAGE: Final = 160
"""Characters of a KME's own error message that are repeated."""

MAX_RETRY_AFTER: Final = 3600.0
"""Seconds: what a KME asks for beyond it is taken for an hour."""
