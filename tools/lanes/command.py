"""How a lane calls pytest, here and in another kernel."""

import os

from lanes.lane import BIN

SLOWEST = ("--durations=8", "--durations-min=5")
"""Where a lane's time goes stands at the end of its log."""

PYTEST = (
    *(str(BIN / "python"), "-m", "pytest"),
    # A kernel's console counts as a terminal; colours would hide the closing line.
    *("-p", "no:cacheprovider", "--color=no", *SLOWEST),
    # What fails while the machine withholds the processor is repeated, and told.
    *("-p", "tests.underload.plugin"),
)

STRICT = "QGW_LANE_STRICT"
"""The variable under which tests/conftest.py forgives no skip."""


def passed_on() -> tuple[str, ...]:
    """Begin a command that runs in another kernel, which inherits no environment."""
    return ("env", f"{STRICT}=1") if os.environ.get("CI") == "true" else ()
