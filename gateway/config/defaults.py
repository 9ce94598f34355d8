"""Defaults that `qgw` needs before, or without, reading a whole configuration."""

from pathlib import Path
from typing import Final

DEFAULT_PATH: Final = Path("/etc/qgw/gateway.toml")
DEFAULT_STATE_DIR: Final = Path("/var/lib/qgw")
DEFAULT_CONTROL_SOCKET: Final = Path("/run/qgw/control.sock")
DEFAULT_CONFIRMING: Final = 600.0
"""Seconds a second person has: enough to call one, too few to forget what it was."""
