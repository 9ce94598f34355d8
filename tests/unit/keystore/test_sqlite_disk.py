"""Real full, read-only and limited disks: see disk_trials."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.keystore.disk_trials import QUOTA

ROOT = Path(__file__).parents[3]

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to mount a file system: run as root"
)


def run(*command: str, seconds: float = 60) -> None:
    done = subprocess.run(  # noqa: S603 -- our own interpreter and words
        command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
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


@needs_mount
@pytest.mark.may_skip("btrfs, whose subvolumes have quotas that bind root, too")
def test_under_a_quota(tmp_path: Path) -> None:
    """Intake leaves what recording uses takes, though the disk has much more room."""
    known = Path("/proc/filesystems").read_text().split()
    if "btrfs" not in known or shutil.which("mkfs.btrfs") is None:
        pytest.skip("no btrfs here: apt-get install btrfs-progs, and a kernel with it")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(160 << 20)
    run("mkfs.btrfs", "--quiet", str(image))
    script = """
        set -e
        mount -o loop "$1" "$2"
        btrfs quota enable "$2"
        btrfs subvolume create "$2/own" >/dev/null
        btrfs qgroup limit "$3" "$2/own"
        chmod 0700 "$2/own"
        shift 3
        "$@"
    """
    own = folder / "own"
    run(
        *("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"),
        *(str(image), str(folder), str(QUOTA), *trial("quota", own)),
        seconds=160,  # thousands of synced writes to a loop device
    )


def test_under_a_file_size_limit(tmp_path: Path) -> None:
    run(*trial("too_large", tmp_path))
