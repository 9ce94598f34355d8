"""Protection of key material from swap, core dumps and other processes' sight."""

import ctypes
import os
import resource
from typing import Final

from gateway.events.bus import publish
from gateway.events.host import CoreDumpsAllowed, MemoryLimited, MemoryUnlocked

_PR_SET_DUMPABLE: Final = 4
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
"""Lock pages when they are first touched: the unused part of a stack costs nothing."""


def protect_memory() -> None:
    """Lock all memory, now and later; forbid core dumps and tracing by our own user.

    What the system refuses (no CAP_IPC_LOCK, no LimitMEMLOCK) is logged and gone
    without: keys are then as safe as the swap is.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        publish(CoreDumpsAllowed(os.strerror(ctypes.get_errno())))
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and os.geteuid():
        publish(MemoryLimited(soft >> 10))
        return
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        reason = os.strerror(ctypes.get_errno())
        publish(MemoryUnlocked(reason))
