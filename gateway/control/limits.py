"""Bounds of the control socket, shared by both ends."""

MAX_MESSAGE = 1 << 20
"""Bytes of one request line: an import batch of 4,000 keys is half of it."""

MAX_ANSWER = 16 << 20
"""Bytes of one answer line: the status of 5,000 tunnels is about 3 MiB."""

MAX_DEPTH = 16
"""Nesting of a request; the deepest real one is 4 (params, keys, key)."""

MAX_CONNECTIONS = 32
"""At once; an operator, a monitor and a few scripts need a handful, and 32 times
`MAX_MESSAGE` is memory the daemon can spare."""

RESERVED = 8
"""Of those, kept for root and the daemon's own user, whoever else is connected."""

MAX_OF_USER = 8
"""Of any other user: three of them have room beside each other."""

REQUEST_TIMEOUT = 30.0
"""Seconds in which a connection must deliver a whole request, or it is closed."""

HANDLER_TIMEOUT = 60.0
"""Seconds a handler may take; an import batch waits for the disk, nothing else does."""

CLIENT_TIMEOUT = HANDLER_TIMEOUT + 5.0
"""Seconds a client waits; the daemon gives up first, and says why."""

ANSWER_TIMEOUT = 10.0
"""Seconds in which a client must take an answer."""

LISTEN_BACKLOG = 16
"""Connections the kernel holds while the event loop is busy."""

IMPORT_BATCH = 1000
"""Keys a client sends per request: about 120 KiB, and a few ms of disk each."""

MAX_FETCH = 10_000_000
"""Keys that one request may ask a KME for: no stock holds more."""
