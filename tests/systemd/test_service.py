"""qgwd as a service of systemd: confined, watched, reloaded, restarted, killed."""

import re
from collections.abc import Iterator

import pytest

from tests.systemd import readme
from tests.systemd.conftest import PATIENCE, Site, is_up, tunnel, wait_up
from tests.systemd.machine import Machine, wait_until

pytestmark = pytest.mark.timeout(900)

MAX_EXPOSURE = 2.0
CONFIG = "/etc/qgw/gateway.toml"
DROP_IN = "/run/systemd/system/qgwd.service.d/test.conf"

CAP_NET_ADMIN = 1 << 12
EX_CONFIG = 78


class Pings:
    """Packets between hosts of the two sites, one each 10 ms, and their answers."""

    def __init__(self, site: Site, seconds: float) -> None:
        self._site = site
        self._process = site.a.spawn(
            *("ping", "-D", "-O", "-i", "0.01", "-c", str(int(seconds * 100))),
            *("-W", "2", "-I", "10.1.0.1", "10.2.0.1"),
        )

    def assert_running(self) -> None:
        """Make sure that what was done was done under traffic."""
        assert self._process.poll() is None

    def assert_none_lost(self) -> None:
        """Wait for the end, and say what went on when a packet was lost."""
        said, _ = self._process.communicate(timeout=300)
        found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
        assert found, said
        sent, received = int(found[1]), int(found[2])
        if sent == received > 0:
            return
        missing = [line for line in said.splitlines() if "no answer" in line]
        journals = [
            machine.shell("journalctl -o short-precise -u qgwd -n 40")
            for machine in self._site.both
        ]
        pytest.fail(
            "\n".join([f"{received} of {sent}", *missing[:3], *missing[-3:], *journals])
        )


@pytest.fixture(autouse=True)
def healthy(site: Site) -> Iterator[None]:
    """Begin with two tunnels up; leave the configuration as it was."""
    before = [machine.read(CONFIG) for machine in site.both]
    wait_up(*site.both)
    yield
    for machine, text in zip(site.both, before, strict=True):
        if machine.read(CONFIG) != text:
            machine.write(CONFIG, text)
            machine.run("systemctl", "reload", "qgwd", check=False)


def wireguard_processes(machine: Machine) -> list[str]:
    done = machine.run("pgrep", "wireguard-go", check=False)
    return done.stdout.split()


def udp_sockets(machine: Machine) -> set[str]:
    """Return the kernel's numbers of the sockets that the daemon receives on."""
    said = machine.shell("ss -Huanep sport = :51810")
    return set(re.findall(r"\bino:(\d+)", said))


# -- Confinement


def test_it_runs_as_its_user_with_one_capability(site: Site) -> None:
    pid = site.a.main_pid()
    assert site.a.shell(f"ps -o user=,group= -p {pid}").split() == ["qgw", "qgw"]
    for held in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(site.a.status_of(pid, held), 16) == CAP_NET_ADMIN, held
    assert site.a.status_of(pid, "NoNewPrivs") == "1"
    assert site.a.status_of(pid, "Seccomp") == "2"


def test_systemd_finds_it_confined_enough(site: Site) -> None:
    said = site.a.run("systemd-analyze", "security", "--no-pager", "qgwd").stdout
    found = re.search(r"Overall exposure level for qgwd.service: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= MAX_EXPOSURE


def test_the_master_key_is_a_credential(site: Site) -> None:
    assert "master_key" not in site.a.read(CONFIG)
    folder = "/run/credentials/qgwd.service"
    assert len(site.a.read(f"{folder}/master-key")) == len(
        site.a.read("/etc/credstore/qgw.master-key")
    )
    site.a.shell("id somebody || useradd somebody")
    reading = ("cat", f"{folder}/master-key")
    assert site.a.run(*reading, user="somebody", check=False).returncode
    pid = site.a.main_pid()
    # The one place where the environment names it, and not what is in it.
    environ = site.a.read(f"/proc/{pid}/environ").split("\0")
    assert f"CREDENTIALS_DIRECTORY={folder}" in environ


@pytest.mark.may_skip("some hosts keep CAP_SYS_RESOURCE; lane systemd-esp runs it")
def test_memory_is_locked(site: Site) -> None:
    pid = site.a.main_pid()
    limits = site.a.read(f"/proc/{pid}/limits")
    if not re.search(r"^Max locked memory +unlimited", limits, re.MULTILINE):
        pytest.skip(
            "root may not raise RLIMIT_MEMLOCK here (no CAP_SYS_RESOURCE):"
            " scripts/test systemd-esp"
        )
    locked = int(site.a.status_of(pid, "VmLck").split()[0])
    resident = int(site.a.status_of(pid, "VmRSS").split()[0])
    assert locked >= resident


def test_no_core_is_left(site: Site) -> None:
    limits = site.a.read(f"/proc/{site.a.main_pid()}/limits")
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def test_only_the_group_may_use_qgw(site: Site) -> None:
    site.a.shell("id admin || useradd -G qgw admin")
    site.a.shell("id somebody || useradd somebody")
    allowed = site.a.run("qgw", "status", user="admin")
    assert "a-b" in allowed.stdout
    refused = site.a.run("qgw", "status", user="somebody", check=False)
    assert refused.returncode
    assert "a-b" not in refused.stdout
    assert "usermod -aG qgw" in refused.stderr or "group qgw" in refused.stderr


def test_status_shows_how_it_stands(site: Site) -> None:
    said = site.a.run("systemctl", "status", "--no-pager", "qgwd").stdout
    assert 'Status: "1 of 1 tunnels up"' in said


# -- Reload


def test_reload_applies_a_new_configuration(site: Site) -> None:
    for machine in site.both:
        text = machine.read(CONFIG)
        machine.write(CONFIG, f"{text}\nrotation_interval = 5\n")
        machine.run("systemctl", "reload", "qgwd")
    pid = site.a.main_pid()
    before = int(str(tunnel(site.a)["epoch"]))
    wait_until(
        lambda: int(str(tunnel(site.a)["epoch"])) >= before + 2,
        PATIENCE,
        lambda: site.a.shell("qgw status"),
    )
    assert site.a.main_pid() == pid
    assert site.a.show("qgwd", "ActiveState") == "active"


def test_reload_refuses_a_bad_configuration(site: Site) -> None:
    text = site.a.read(CONFIG)
    site.a.write(CONFIG, text.replace("[gateway]", "[gatewayy]"))
    done = site.a.run("systemctl", "reload", "qgwd", check=False)
    assert done.returncode
    assert site.a.show("qgwd", "ActiveState") == "active"
    said = site.a.shell("journalctl -u qgwd -n 20")
    assert "gatewayy" in said
    assert is_up(site.a)


def test_root_is_one_person_by_systemctl_and_by_qgw(site: Site) -> None:
    text = site.b.read(CONFIG)
    acts = '[gateway]\nsecond_person = ["identity"]'
    site.b.write(CONFIG, text.replace("[gateway]", acts))
    site.b.run("systemctl", "restart", "qgwd")
    own = "/etc/qgw/identity.key"
    site.b.shell(f"mv {own} /root/own.key")
    site.b.shell(f"qgw identity new --private {own} --public /root/other.pub")
    site.b.shell(f"chown qgw: {own}")
    try:
        for command in (("systemctl", "reload", "qgwd"), ("qgw", "reload")):
            assert site.b.run(*command, check=False).returncode
        said = site.b.run("systemctl", "status", "--no-pager", "qgwd").stdout
        assert said.count("waits for a second person: take the identity ") == 1
        assert said.count("(qgw approve 1)") == 1
        himself = site.b.run("qgw", "approve", "1", check=False)
        assert himself.returncode == 4
        assert "you asked for it yourself" in himself.stderr
    finally:
        site.b.shell(f"mv -f /root/own.key {own}; rm /root/other.pub")
        site.b.write(CONFIG, text)
        site.b.run("systemctl", "restart", "qgwd")
    wait_up(site.b)


# -- Restarts


@pytest.mark.parametrize("name", ["a", "b"])
def test_restart_loses_no_packet(site: Site, name: str) -> None:
    machine = site.a if name == "a" else site.b
    pid, sockets = machine.main_pid(), udp_sockets(machine)
    carriers = wireguard_processes(machine)
    epoch = tunnel(machine)["epoch"]
    assert int(machine.show("qgwd", "NFileDescriptorStore")) == len(sockets) > 0
    pings = Pings(site, 8)
    machine.run("systemctl", "restart", "qgwd")
    assert machine.main_pid() != pid
    assert udp_sockets(machine) == sockets
    assert wireguard_processes(machine) == carriers
    wait_up(machine)
    pings.assert_running()
    pings.assert_none_lost()
    assert int(str(tunnel(machine)["epoch"])) >= int(str(epoch))


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_kill_loses_no_packet(site: Site, name: str) -> None:
    machine = site.a if name == "a" else site.b
    pid, carriers = machine.main_pid(), wireguard_processes(machine)
    restarts = int(machine.show("qgwd", "NRestarts"))
    pings = Pings(site, 10)
    machine.run("kill", "-9", str(pid))
    wait_until(
        lambda: machine.main_pid() not in (0, pid),
        PATIENCE,
        "systemd did not restart it",
    )
    wait_up(machine)
    assert int(machine.show("qgwd", "NRestarts")) == restarts + 1
    assert wireguard_processes(machine) == carriers
    pings.assert_running()
    pings.assert_none_lost()


def test_stopping_keeps_what_carries_traffic(site: Site) -> None:
    pings = Pings(site, 6)
    site.b.run("systemctl", "stop", "qgwd")
    assert site.b.show("qgwd", "Result") == "success"
    site.b.run("systemctl", "start", "qgwd")
    wait_up(site.b)
    pings.assert_none_lost()


def test_the_early_unit_puts_up_the_fence(site: Site) -> None:
    assert site.b.show("qgw-fence", "Result") == "success"
    site.b.run("systemctl", "stop", "qgwd")
    site.b.run("qgw", "fence", "remove")
    site.b.run("systemctl", "restart", "qgw-fence")
    assert site.b.show("qgw-fence", "ActiveState") == "active"
    said = site.b.shell("journalctl -u qgw-fence -n 5 -o cat")
    assert "loaded: 1 tunnel, nothing may pass" in said
    assert "drop" in site.b.shell("nft list table inet qgw")
    site.b.run("systemctl", "restart", "qgw-fence")
    said = site.b.shell("journalctl -u qgw-fence -n 5 -o cat")
    assert "the fence stands already" in said
    site.b.run("systemctl", "start", "qgwd")
    wait_up(site.b)


def test_the_watchdog_ends_a_daemon_that_hangs(site: Site) -> None:
    assert site.a.show("qgwd", "WatchdogUSec") == "30s"
    site.a.shell(f"mkdir -p {DROP_IN.rpartition('/')[0]}")
    site.a.write(DROP_IN, "[Service]\nWatchdogSec=4\n")
    site.a.shell("systemctl daemon-reload && systemctl restart qgwd")
    wait_up(site.a)
    pid = site.a.main_pid()
    pings = Pings(site, 12)
    site.a.run("kill", "-STOP", str(pid))
    wait_until(
        lambda: site.a.main_pid() not in (0, pid), PATIENCE, "the watchdog did not bite"
    )
    wait_up(site.a)
    pings.assert_none_lost()
    said = site.a.shell("journalctl -u qgwd -n 60")
    assert "Watchdog timeout" in said
    # "dumped" in place of "killed" would mean that a core with keys in it was left.
    assert "code=killed, status=6/ABRT" in said
    site.a.shell(f"rm {DROP_IN} && systemctl daemon-reload && systemctl restart qgwd")


def test_what_only_the_operator_can_mend_is_not_tried_again(site: Site) -> None:
    text = site.b.read(CONFIG)
    site.b.write(CONFIG, text.replace("[gateway]", "[gatewayy]"))
    done = site.b.run("systemctl", "restart", "qgwd", check=False)
    assert done.returncode
    assert site.b.show("qgwd", "ActiveState") == "failed"
    assert site.b.show("qgwd", "ExecMainStatus") == str(EX_CONFIG)
    assert site.b.show("qgwd", "SubState") == "failed"  # and not auto-restart
    site.b.write(CONFIG, text)
    site.b.run("systemctl", "start", "qgwd")
    wait_up(site.b)


# -- Links


def test_a_simulated_link_as_the_readme_says(site: Site) -> None:
    make = readme.said_inline("qgw keystore new-seed /etc/qgw/fibre.seed")
    own = readme.said_inline("chown qgw: /etc/qgw/fibre.seed")
    keys = [
        readme.said_inline(text)
        for text in (
            'source = "simulated"',
            "rate = 0.1",
            'seed_file = "fibre.seed"',
        )
    ]
    site.a.shell(make)
    site.b.write("/etc/qgw/fibre.seed", site.a.read("/etc/qgw/fibre.seed"))
    site.b.shell("chmod 600 /etc/qgw/fibre.seed")
    before = re.compile(r'^source = "file".*$', re.MULTILINE)
    for machine in site.both:
        machine.shell(own)
        text, changed = before.subn("\n".join(keys), machine.read(CONFIG))
        assert changed == 1
        machine.write(CONFIG, text)
        machine.shell("qgw config check && systemctl reload qgwd")
    for machine in site.both:
        status = machine.shell("qgw status")
        assert re.search(r"^fibre +simulated", status, re.MULTILINE)
        assert "NOT quantum keys" in status
        assert "NOT quantum keys" in machine.shell("journalctl -u qgwd -n 20")
    site.a.shell("qgw tunnel rotate a-b")
    wait_up(*site.both)
