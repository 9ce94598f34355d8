"""Plans that tests use."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from gateway.planner.load import load_plan
from gateway.planner.model import Plan

CONFIGS = Path(__file__).parents[3] / "configs"
EXAMPLE = CONFIGS / "plan-int-uqkd.toml"

START = datetime(2026, 11, 1, tzinfo=UTC).timestamp()

SMALL = """\
[plan]
days = 3
draws = 100

[links.fibre]
kind = "rate"
rate = 256

[links.space]
kind = "satellite"
stations = ["luxembourg", "singapore"]
stock = 2000

[tunnels.a]
links = ["fibre"]

[tunnels.b]
links = ["fibre", "space"]
"""


def example(days: int = 14) -> Plan:
    """Load the plan that is shipped."""
    with tempfile.TemporaryDirectory() as name:
        file = write(Path(name), EXAMPLE.read_text())
        return load_plan(file, START, days=days)


def write(folder: Path, text: str = SMALL) -> Path:
    """Write a plan that others cannot change."""
    file = folder / "plan.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file
