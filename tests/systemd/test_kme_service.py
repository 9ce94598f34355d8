"""docs/kme.md's steps, typed as they stand there: two KMEs, and keys for gateways."""

import re
from collections.abc import Iterator

import pytest

from tests.systemd import readme
from tests.systemd.conftest import CLONE, INSTALLED, PATIENCE, Site
from tests.systemd.machine import ROOT, Machine, wait_until

pytestmark = pytest.mark.timeout(900)

PAGE = ROOT / "docs" / "kme.md"
TITLE = "## Two KMEs in five minutes"
FILES = "## The gateway's files"
INSTALL = "scripts/install --kme"

OTHER_SITE = (
    ("lab/alice", "lab/bob"),
    ("gw-a", "gw-b"),
    ("kme-a.example.org:8443", "kme-b.example.org:8444"),
)
"""What stands for what at the second site."""

HOSTS = "203.0.113.1 kme-a.example.org\n203.0.113.2 kme-b.example.org\n"


def typed(part: str, machine: Machine, title: str = TITLE) -> str:
    """Return a block of the page, as it is for this site."""
    text = readme.block(part, title, PAGE)
    return text if machine.name == "a" else swapped(text)


def swapped(text: str) -> str:
    for one, other in OTHER_SITE:
        text = text.replace(one, "\0").replace(other, one).replace("\0", other)
    return text


@pytest.fixture(scope="module")
def kmes(site: Site) -> Iterator[Site]:
    """Both KMEs, set up as the page says, at the two gateways' own hosts."""
    if INSTALLED:
        pytest.skip("User-mode Linux installs for minutes; the lane systemd runs this")
    running = [
        machine.spawn("bash", "-ec", f"cd {CLONE} && {INSTALL}")
        for machine in site.both
    ]
    assert f"`{INSTALL}`" in readme.section(TITLE, PAGE)
    for process in running:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
    init = readme.block("qgw-kme init", TITLE, PAGE).strip()
    assert "`--rate 256000`" in readme.section(TITLE, PAGE)
    site.a.shell(f"{init} --rate 256000")
    site.b.run("mkdir", "-p", "/root/lab")
    packed = site.a.shell("tar -C lab -cf - bob | base64")
    site.b.run("bash", "-c", "base64 -d | tar -C /root/lab -xf -", text=packed)
    for machine in site.both:
        machine.run("tee", "-a", "/etc/hosts", text=HOSTS)
        machine.shell(typed("systemctl enable --now qgw-kme", machine))
    yield site
    for machine in site.both:
        machine.run("systemctl", "disable", "--now", "qgw-kme")


def link_of(machine: Machine) -> str:
    """Return the page's table for this site's gateway."""
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return table if machine.name == "a" else swapped(table)


def test_the_services_run_as_their_own_user(kmes: Site) -> None:
    for machine in kmes.both:
        assert machine.show("qgw-kme", "ActiveState") == "active"
        assert machine.show("qgw-kme", "NRestarts") == "0"
        pid = int(machine.show("qgw-kme", "MainPID"))
        assert machine.status_of(pid, "Uid").split()[0] != "0"
        assert "kme-" in machine.run("qgw-kme", "status").stdout


def test_what_is_secret_is_the_kmes_alone(kmes: Site) -> None:
    for machine in kmes.both:
        listed = machine.shell(
            "cd /etc/qgw-kme && find . -type f -printf '%P %m %u\\n'"
        )
        found = dict(line.split(" ", 1) for line in listed.splitlines())
        assert found["kme.key"] == found["link.seed"] == "600 qgw-kme"
        assert not [name for name in found if "client" in name]
        for name in ("kme.key", "link.seed"):
            tried = machine.run("cat", f"/etc/qgw-kme/{name}", user="qgw", check=False)
            assert tried.returncode != 0


def test_the_gateways_draw_and_fetch_a_key(kmes: Site) -> None:
    for machine in kmes.both:
        site = "alice" if machine.name == "a" else "bob"
        machine.shell(typed("/etc/qgw/kme", machine, FILES), f"/root/lab/{site}")
        gateway = f'[gateway]\nidentity = "identity.key"\n{link_of(machine)}'
        machine.write("/etc/qgw/lab.toml", gateway)

    def has_keys() -> bool:
        said = kmes.a.run("qgw-kme", "status").stdout
        return re.search(r"^stored: [1-9]", said, re.MULTILINE) is not None

    wait_until(has_keys, PATIENCE, lambda: kmes.a.run("qgw-kme", "status").stdout)
    for machine in kmes.both:
        found = machine.run(
            *("qgw", "--config", "/etc/qgw/lab.toml", "qkd", "test", "lab"),
            *("--local", "--draw"),
            user="qgw",
        ).stdout
        assert "came, and is used up by this" in found
