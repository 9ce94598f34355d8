"""systemd itself reads the unit, and finds the daemon confined enough."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SYSTEMD = ROOT / "systemd"
MAX_EXPOSURE = 2.0


def run(*command: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]}: run scripts/setup test, or apt install systemd")
    return subprocess.run(  # noqa: S603 - fixed programs, no shell
        command, capture_output=True, text=True, check=False, timeout=15
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with programs where this test has some; verify looks at them."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("qgw", "qgw-keeper", "qgwd"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    text = (SYSTEMD / "qgwd.service").read_text()
    assert "/opt/qgw/bin/" in text
    path = tmp_path / "qgwd.service"
    path.write_text(text.replace("/opt/qgw/bin", str(programs)))
    return path


def test_verify_has_nothing_to_say(unit: Path) -> None:
    done = run("systemd-analyze", "verify", str(unit))
    said = [line for line in done.stderr.splitlines() if "qgwd" in line]
    assert (done.returncode, said) == (0, [])


def test_verify_would_have_seen_a_mistake(unit: Path) -> None:
    unit.write_text(unit.read_text() + "\n[Service]\nRestrictNamespacez=yes\n")
    assert "RestrictNamespacez" in run("systemd-analyze", "verify", str(unit)).stderr


def test_exposure(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", str(unit))
    found = re.search(r"Overall exposure level for qgwd.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MAX_EXPOSURE


@pytest.fixture
def early(tmp_path: Path, unit: Path) -> Path:
    """A folder with the units that fence before the network is up."""
    for name in ("qgw-fence", "qgw-keeper"):
        text = (SYSTEMD / f"{name}.service").read_text()
        assert "/opt/qgw/bin/" in text
        path = tmp_path / f"{name}.service"
        path.write_text(text.replace("/opt/qgw/bin", str(unit.parent / "bin")))
    return tmp_path


@pytest.mark.parametrize("name", ["qgw-fence", "qgw-keeper"])
def test_the_early_units_are_understood_and_confined(early: Path, name: str) -> None:
    path = early / f"{name}.service"
    done = run("systemd-analyze", "verify", str(path))
    said = [line for line in done.stderr.splitlines() if name in line]
    assert (done.returncode, said) == (0, [])
    done = run("systemd-analyze", "security", "--offline=true", str(path))
    found = re.search(rf"exposure level for {name}.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MAX_EXPOSURE


def test_the_early_unit_comes_before_the_network_and_after_rulesets() -> None:
    text = (SYSTEMD / "qgw-fence.service").read_text()
    assert "DefaultDependencies=no\n" in text
    assert re.search(r"^Wants=network-pre.target ", text, re.MULTILINE)
    assert re.search(r"^Before=network-pre.target qgwd.service ", text, re.MULTILINE)
    for other in ("nftables", "firewalld", "ufw"):
        assert f"{other}.service" in text
    daemon = (SYSTEMD / "qgwd.service").read_text()
    assert re.search(r"^Wants=.*qgw-fence.service", daemon, re.MULTILINE)
    assert re.search(r"^After=.*qgw-fence.service", daemon, re.MULTILINE)


def test_the_keeper_starts_before_rulesets_and_so_stops_after_them() -> None:
    text = (SYSTEMD / "qgw-keeper.service").read_text()
    assert "DefaultDependencies=no\n" in text
    before = " ".join(re.findall(r"^Before=(.*)", text, re.MULTILINE)).split()
    for other in ("nftables", "firewalld", "ufw", "qgw-fence", "qgwd", "shutdown"):
        assert any(unit.startswith(f"{other}.") for unit in before), other
    for unit in ("qgw-fence", "qgwd"):
        lines = (SYSTEMD / f"{unit}.service").read_text()
        for key in ("Wants", "After"):
            assert re.search(rf"^{key}=.*qgw-keeper.service", lines, re.MULTILINE)


def directives() -> dict[str, list[str]]:
    taken: dict[str, list[str]] = {}
    for line in (SYSTEMD / "qgwd.service").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            taken.setdefault(key, []).append(value)
    return taken


def test_net_admin_is_the_only_capability() -> None:
    assert directives()["CapabilityBoundingSet"] == ["CAP_NET_ADMIN"]
    assert directives()["AmbientCapabilities"] == ["CAP_NET_ADMIN"]
    assert directives()["User"] == ["qgw"]


def test_debian_12_knows_the_type() -> None:
    assert directives()["Type"] == ["notify"]  # notify-reload came with systemd 253


def test_sysusers_and_tmpfiles_are_understood(tmp_path: Path) -> None:
    for folder in ("etc", "var", "run"):
        (tmp_path / folder).mkdir()
    root = f"--root={tmp_path}"
    users = run("systemd-sysusers", root, str(SYSTEMD / "qgw.sysusers"))
    assert users.returncode == 0, users.stderr
    kme = run("systemd-sysusers", root, str(SYSTEMD / "qgw-kme.sysusers"))
    assert kme.returncode == 0, kme.stderr
    accounts = (tmp_path / "etc/passwd").read_text()
    for user in ("qgw", "qgw-kme"):
        assert re.search(rf"^{user}:.*:/usr/sbin/nologin$", accounts, re.MULTILINE)
    made = run("systemd-tmpfiles", "--create", root, str(SYSTEMD / "qgw.tmpfiles"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "etc/qgw").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "run/wireguard").stat().st_mode & 0o777 == 0o700


def test_the_unit_has_no_key_twice_by_mistake() -> None:
    several = {"SystemCallFilter"}
    twice = {key for key, values in directives().items() if len(values) > 1}
    assert twice <= several


def test_sections() -> None:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.read(SYSTEMD / "qgwd.service")
    assert parser.sections() == ["Unit", "Service", "Install"]
