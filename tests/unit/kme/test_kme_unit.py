"""systemd reads the unit of the KME, and finds it confined."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "systemd" / "qgw-kme.service"
MAX_EXPOSURE = 2.0


def run(*command: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]}: run scripts/setup test, or apt install systemd")
    return subprocess.run(  # noqa: S603  # fixed programs, no shell
        command, capture_output=True, text=True, check=False, timeout=15
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "qgw-kme"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text()
    assert "/opt/qgw/bin/qgw-kme run --config" in text
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/qgw/bin", str(program.parent)))
    return path


def test_verify_has_nothing_to_say(unit: Path) -> None:
    done = run("systemd-analyze", "verify", str(unit))
    said = [line for line in done.stderr.splitlines() if "qgw-kme" in line]
    assert (done.returncode, said) == (0, [])


def test_exposure(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", str(unit))
    found = re.search(r"Overall exposure level for [\w.-]+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MAX_EXPOSURE


def test_no_privilege_is_left() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keeps case
    parser.read(UNIT)
    service = parser["Service"]
    assert service["CapabilityBoundingSet"] == ""
    assert "AmbientCapabilities" not in service
    assert service["Type"] == "notify"
    assert service["User"] == "qgw-kme"


def test_sysusers_and_tmpfiles_are_understood(tmp_path: Path) -> None:
    for folder in ("etc/qgw-kme", "var", "run"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/qgw-kme/kme.key").touch(mode=0o644)
    root = f"--root={tmp_path}"
    users = run("systemd-sysusers", root, str(UNIT.with_suffix(".sysusers")))
    assert users.returncode == 0, users.stderr
    accounts = (tmp_path / "etc/passwd").read_text()
    assert re.search(r"^qgw-kme:.*:/usr/sbin/nologin$", accounts, re.MULTILINE)
    files = str(UNIT.with_suffix(".tmpfiles"))
    made = run("systemd-tmpfiles", "--create", root, files)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "etc/qgw-kme").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "etc/qgw-kme/kme.key").stat().st_mode & 0o777 == 0o600
