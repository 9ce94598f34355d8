"""What a daemon's start need not load."""

import subprocess
import sys

HEAVY = ("networkx", "aiohttp", "numpy", "sgp4", "matplotlib", "scapy", "oqs")
"""Each takes a tenth of a second or more; who needs one loads it then."""


def test_a_start_loads_nothing_heavy() -> None:
    script = (
        "import sys, gateway.daemon.service\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
