"""How slow this machine is: what everything is allowed, and what healing is."""

import os
import statistics
import time

IN_VM = "QGW_IN_VM" in os.environ

SLOW = float(os.environ.get("QGW_MEDDLE_SLOW", "8" if IN_VM else "1"))
"""How many times longer than on a computer the gateways' own times are: a virtual
machine without KVM runs code twenty-five times slower, and waits no slower."""

ROUNDS = 100_000
"""Of the calculation that shows how slow this machine is."""

SAMPLES = 5

ON_A_COMPUTER = 0.0035
"""Seconds that the calculation takes on an idle computer of 2024."""

HEALING_COMPUTES = 0.2
"""Seconds of such a computer that it takes at most, at both ends together, to find out
what is missing, to put it back, and to agree on new keys."""


def floor() -> float:
    """Return the seconds that a virtual machine needs for what healing computes.

    Measured here and now, without our product; 0 on a computer.
    """
    if not IN_VM:
        return 0.0
    took = statistics.median(_calculate() for _ in range(SAMPLES))
    return took / ON_A_COMPUTER * HEALING_COMPUTES


def _calculate() -> float:
    begin = time.monotonic()
    total = 0
    for number in range(ROUNDS):
        total += number * number
    return time.monotonic() - begin
