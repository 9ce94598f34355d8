"""A peer that is dead, restarted, or restored from an old backup."""

import shutil
import time

import pytest
from lab.netns import cut

from tests.netns.labs import (
    INTERVAL,
    LIFETIME,
    Lab,
    end_processes,
    qgw,
    state,
    until,
)
from tests.netns.test_key_stock import assert_no_key_twice


@pytest.mark.parametrize("which", [0, 1])
def test_dead_blocks_after_its_lifetime_and_heals(brief: Lab, which: int) -> None:
    dead, alive = brief.ends[which], brief.ends[1 - which]
    before = brief.start()
    dead.kill()
    died = time.monotonic()
    assert brief.ping(1 - which, count=1)  # its kernel carries on
    until(lambda: state(alive) == "blocked", "the block", LIFETIME + 5.0)
    assert time.monotonic() - died < LIFETIME + INTERVAL + 1.0
    found = alive.tunnel()
    assert found["reason"]
    assert found["hint"]
    assert "lifetime" in alive.log.read_text()
    assert "blocked" in qgw(alive, "tunnel", "list").stdout
    assert not brief.ping(1 - which, count=1)
    dead.start()
    dead.wait_ready()
    brief.in_force(before)
    assert brief.ping(which)
    assert_no_key_twice(brief)


def test_the_path_is_cut_and_mended(brief: Lab) -> None:
    before = brief.start()
    cut(brief.b.namespace, is_cut=True)
    for end in brief.ends:
        until(lambda end=end: state(end) == "blocked", "the block", LIFETIME + 5.0)  # type: ignore[misc]
    cut(brief.b.namespace, is_cut=False)
    mended = time.monotonic()
    brief.in_force(before)
    assert time.monotonic() - mended < 2 * LIFETIME
    assert_no_key_twice(brief)


@pytest.mark.parametrize("which", [0, 1])
def test_the_host_restarts(lab: Lab, which: int) -> None:
    """All that its kernel had is gone, and every process of it."""
    end = lab.ends[which]
    before = lab.start()
    end.kill()
    end_processes(end.namespace)
    for line in end.namespace.run("ip", "-br", "link").splitlines():
        name = line.split("@")[0].split()[0]
        if name.startswith("qgw"):
            end.namespace.run("ip", "link", "del", name)
    end.namespace.run("ip", "xfrm", "state", "flush", check=False)
    end.namespace.run("ip", "xfrm", "policy", "flush", check=False)
    end.start()
    end.wait_ready()
    lab.in_force(before)
    assert lab.ping(which)
    assert_no_key_twice(lab)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_restored_from_an_old_backup(lab: Lab, which: int) -> None:
    """The whole state directory goes back, the key store with it; 2 is both ends."""
    restored = lab.ends if which == 2 else (lab.ends[which],)
    lab.start()
    for end in restored:
        end.stop()
        shutil.copytree(end.folder / "state", end.folder / "backup")
        end.start()
        end.wait_ready()
    for _ in range(3):
        lab.next()
    before = lab.newest()
    for end in restored:
        end.kill()
        shutil.rmtree(end.folder / "state")
        shutil.copytree(end.folder / "backup", end.folder / "state")
    if which == 2:
        # Both forgot which keys they used: only the kernel's epochs tell them.
        for end in restored:
            end.start()
        for end in restored:
            end.wait_ready()
        until(lambda: all(state(end) == "up" for end in lab.ends), "the tunnel", 40.0)
        return
    for end in restored:
        end.start()
        end.wait_ready()
    healed = lab.watcher.wait_in_force(40.0, after=before)
    lab.in_force(healed)
    assert lab.ping(which)
    assert_no_key_twice(lab)
