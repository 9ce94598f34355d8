"""Real full, read-only and limited disks: see disk_trials."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to mount a file system: run as root"
)


def run(*command: str) -> None:
    done = subprocess.run(  # noqa: S603 -- our own interpreter and words
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def trial(name: str, directory: Path) -> tuple[str, ...]:
    module = "tests.unit.keystore.disk_trials"
    return (sys.executable, "-W", "error", "-m", module, name, str(directory))


@needs_mount
@pytest.mark.parametrize("name", ["full", "open_on_full", "read_only", "reserve"])
def test_on_a_small_file_system_of_its_own(tmp_path: Path, name: str) -> None:
    size = "12m" if name == "reserve" else "2m"
    mount = f'mount -t tmpfs -o size={size},mode=0700 none "$1" && shift && exec "$@"'
    run(
        *("unshare", "--mount", "--propagation", "private"),
        *("sh", "-c", mount, "sh", str(tmp_path), *trial(name, tmp_path)),
    )


def test_under_a_file_size_limit(tmp_path: Path) -> None:
    run(*trial("too_large", tmp_path))
