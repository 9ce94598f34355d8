"""Users of three kinds at a daemon: one steers, one looks, one confirms."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from lab.gateway import LINK, Gateway
from lab.netns import Namespace

from gateway.config.identity_files import write_private_identity
from gateway.crypto.identity import encode_private, generate_identity
from tests.netns.labs import TUNNEL, Lab, edit, make_lab, qgw, until

pytestmark = pytest.mark.timeout(120)

CONTROL, VIEW = 1, 65534
"""Groups that every Debian has: daemon, nogroup."""

AS_USER = """
import os, sys
import gateway.cli.main
uid, gid = map(int, sys.argv[1:3])
os.setgroups([]); os.setgid(gid); os.setuid(uid)
sys.exit(gateway.cli.main.main(sys.argv[3:]))
"""


@pytest.fixture
def lab(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """A pair of which one has members, viewers, and acts that need two."""
    with make_lab(pair, interval=300.0, lifetime=900.0) as made:
        edit(
            made.a,
            "^control_group = .*",
            'control_group = "daemon"\\nview_group = "nogroup"\\n'
            'second_person = ["purge", "identity", "fence"]',
        )
        for folder in (made.a.folder, *made.a.folder.parents[:2]):
            folder.chmod(0o711)
        made.start()
        yield made


def as_user(
    end: Gateway, uid: int, gid: int, *words: str
) -> "subprocess.CompletedProcess[str]":
    """Run `qgw` as another user."""
    command = [sys.executable, "-c", AS_USER, str(uid), str(gid)]
    return subprocess.run(  # noqa: S603  # our own
        [*command, "--socket", str(end.socket), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def commands(end: Gateway) -> list[str]:
    """Return the log's lines about commands, from the user on."""
    lines = end.log.read_text().splitlines()
    return [line.partition("user=")[2] for line in lines if "event=command" in line]


def test_who_only_looks_changes_nothing(lab: Lab) -> None:
    for line in ("status", "tunnel list", "keystore status", "network", "approve"):
        done = as_user(lab.a, 1001, VIEW, *line.split())
        assert done.returncode == 0, (line, done.stderr)
    epoch = lab.a.tunnel()["epoch"]
    for line in (
        f"tunnel rotate {TUNNEL}",
        f"tunnel down {TUNNEL}",
        f"keystore purge --link {LINK}",
        "qkd status",
        "reload",
        "approve 1",
    ):
        done = as_user(lab.a, 1001, VIEW, *line.split())
        assert done.returncode == 4, (line, done.stdout)
        assert "you may look, and change nothing" in done.stderr
    assert lab.a.tunnel()["epoch"] == epoch
    stranger = as_user(lab.a, 1002, 1002, "status")
    assert stranger.returncode == 4
    assert "permission denied" in stranger.stderr


def test_who_did_what(lab: Lab) -> None:
    assert as_user(lab.a, 1001, CONTROL, "tunnel", "rotate", TUNNEL).returncode == 0
    assert as_user(lab.a, 1001, CONTROL, "tunnel", "show", TUNNEL).returncode == 0
    assert as_user(lab.a, 1001, CONTROL, "tunnel", "down", "nowhere").returncode == 5
    assert qgw(lab.a, "keystore", "purge", "--link", LINK).returncode == 0
    said = [re.sub(r"pid \d+", "pid N", line) for line in commands(lab.a)]
    user, root = "uid 1001: uid 1001, pid N", "root (uid 0): root (uid 0), pid N"
    refused = "not-found: there is no tunnel named nowhere"
    assert said == [
        f"{user}: tunnel.rotate name={TUNNEL}: done",
        f"{user}: tunnel.down name=nowhere: {refused}",
        f"{root}: keystore.purge link={LINK} all=False: done",
    ]


def test_a_member_that_checks_takes_no_rights_for_faults(lab: Lab) -> None:
    main = lab.a.folder / "gateway.toml"
    main.chmod(0o644)
    done = as_user(lab.a, 1001, CONTROL, "config", "check", "--config", str(main))
    *others, last = done.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in others)  # of this host
    assert last == (
        "note: checked as 1001: files, folders and planes were not looked at, which "
        "takes root or the daemon's user root"
    )
    assert done.returncode == 0
    assert done.stdout.endswith("no problems (checked as 1001)\n")


def test_a_purge_needs_two(lab: Lab) -> None:
    words = ("keystore", "purge", "--link", LINK, "--all", "--yes")
    until(lambda: lab.a.call("keystore.status", link=LINK)[0]["available"], "keys")
    asked = as_user(lab.a, 1001, CONTROL, *words)
    assert asked.returncode == 1
    act = f"erase every unused key of link {LINK}"
    assert asked.stderr.splitlines() == [
        f"qgw: a second person must confirm this: {act}",
        "hint: within 10m00s another user runs: qgw approve 1",
    ]
    assert "uid 1001" in as_user(lab.a, 1002, CONTROL, "approve").stdout
    himself = as_user(lab.a, 1001, CONTROL, "approve", "1")
    assert himself.returncode == 4
    assert "you asked for it yourself" in himself.stderr
    assert lab.a.call("keystore.status", link=LINK)[0]["expired"] == 0
    done = as_user(lab.a, 1002, CONTROL, "approve", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"done, as uid 1001 asked: erase every unused key of link {LINK}\n"
    )
    assert lab.a.call("keystore.status", link=LINK)[0]["expired"] > 0
    assert as_user(lab.a, 1002, CONTROL, "approve", "1").returncode == 5
    said = "\n".join(commands(lab.a))
    assert "all=True: needs-approval: a second person must confirm this" in said
    assert re.search(r"uid 1002, pid \d+: approve id=1: done", said)


def test_another_identity_needs_two(lab: Lab) -> None:
    own = lab.a.call("identity.show")["fingerprint"]
    path = lab.a.folder / "identity"
    path.unlink()
    write_private_identity(path, encode_private(generate_identity(1)))
    asked = as_user(lab.a, 1001, CONTROL, "reload")
    assert asked.returncode == 1
    assert "a second person must confirm this: take the identity" in asked.stderr
    assert lab.a.call("identity.show")["fingerprint"] == own
    # Yet another one is not what was asked for.
    path.unlink()
    write_private_identity(path, encode_private(generate_identity(1)))
    other = as_user(lab.a, 1002, CONTROL, "approve", "1")
    assert other.returncode == 1
    assert lab.a.call("identity.show")["fingerprint"] == own
    done = as_user(lab.a, 1001, CONTROL, "approve", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert lab.a.call("identity.show")["fingerprint"] != own


def test_taking_the_fence_away_needs_two(lab: Lab) -> None:
    lab.a.stop()
    command = ["--config", str(lab.a.folder / "gateway.toml"), "fence", "remove"]

    def remove(login: int) -> "subprocess.CompletedProcess[str]":
        words = ["ip", "netns", "exec", lab.a.namespace.name, "env"]
        words += [f"SUDO_UID={login}", sys.executable, "-m", "gateway.cli.main"]
        return subprocess.run(  # noqa: S603  # our own
            [*words, *command], capture_output=True, text=True, timeout=60, check=False
        )

    for _ in range(2):
        done = remove(1001)
        assert done.returncode == 1
        assert "a second person must confirm this" in done.stderr
    done = remove(1002)
    assert (done.returncode, done.stderr) == (0, "")
    assert remove(1001).returncode == 1  # a request anew
