"""Keys by hand with a real `qgw`, full disks, and stores that cannot be written."""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from lab.gateway import LINK, Gateway
from lab.netns import run

from tests.netns.labs import (
    TUNNEL,
    Lab,
    failure,
    qgw,
    run_daemon,
    state,
    status,
    until,
)
from tests.underload.findings import never


def key(number: int) -> dict[str, str]:
    return {
        "key_ID": str(UUID(int=number)),
        "key": base64.b64encode(number.to_bytes(32)).decode(),
    }


def write(end: Gateway, *keys: dict[str, str]) -> str:
    path = end.folder / "keys.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"keys": keys}))
    return str(path)


def stock(end: Gateway) -> dict[str, int]:
    found: list[dict[str, int]] = end.call("keystore.status", link=LINK)
    return found[0]


def test_no_keys_blocks_keys_heal_and_bad_ones_are_named(by_hand: Lab) -> None:
    lab = by_hand
    for end in reversed(lab.ends):
        end.start()
    for end in lab.ends:
        end.wait_ready()
    until(lambda: failure(lab.a), "the failure")
    said = f"no QKD key in stock of link {LINK}, and qkd = required"
    assert lab.a.tunnel()["reason"] == said
    assert said in qgw(lab.a, "tunnel", "list").stdout
    assert f"link {LINK}: stock is empty" in status(lab.a)["warnings"]
    assert not lab.ping(count=1)
    for end in lab.ends:
        done = qgw(
            end,
            "keystore",
            "import",
            "--link",
            LINK,
            write(end, *map(key, range(1, 9))),
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "8 keys" in done.stdout
    lab.in_force()
    assert lab.ping()
    used = lab.a.tunnel()["key_id"]
    assert used == str(UUID(int=1))
    good, bad = key(9), key(10)
    short = {"key_ID": str(UUID(int=11)), "key": base64.b64encode(b"x" * 16).decode()}
    file = write(lab.a, good, key(1), key(2), good, short, {**bad, "key": "??"})
    done = qgw(lab.a, "keystore", "import", "--link", LINK, file, "--json")
    assert done.returncode == 6
    report = json.loads(done.stdout)
    assert report["added"] == 1
    assert sorted((one["key_id"], one["reason"]) for one in report["refused"]) == [
        (str(UUID(int=1)), "used"),
        (str(UUID(int=2)), "duplicate"),
        (str(UUID(int=9)), "duplicate"),
        (str(UUID(int=10)), "malformed"),
        (str(UUID(int=11)), "short"),
    ]
    shown = qgw(lab.a, "keystore", "import", "--link", LINK, file)
    assert shown.returncode == 6
    assert "was used before" in shown.stdout + shown.stderr
    assert good["key"] not in shown.stdout + shown.stderr
    assert stock(lab.a)["consumed"] == 1


def test_files_that_are_no_container(by_hand: Lab) -> None:
    end = by_hand.a
    end.start()
    end.wait_ready()
    path = end.folder / "keys.json"
    path.touch(mode=0o600)
    for text in ("", "{", "[]", '{"keys": 7}', "\x00\x01"):
        path.write_text(text)
        done = qgw(end, "keystore", "import", "--link", LINK, str(path))
        assert done.returncode == 1
        assert done.stderr.startswith("qgw: ")
        assert "Traceback" not in done.stderr
    done = qgw(end, "keystore", "import", "--link", LINK, "/nowhere/keys.json")
    assert done.returncode in (1, 2)
    assert "/nowhere/keys.json" in done.stderr
    good = write(end, key(1))
    assert qgw(end, "keystore", "import", "--link", "rome", good).returncode == 5
    path.chmod(0o644)
    warned = qgw(end, "keystore", "import", "--link", LINK, good)
    assert "others" in warned.stderr


@contextlib.contextmanager
def small_disk(end: Gateway, kib: int) -> Iterator[Path]:
    """Put an end's state on a disk of its own, so small that it can be filled."""
    folder = end.folder / "state"
    folder.mkdir(mode=0o700)
    options = f"size={kib}k,mode=700"
    run("mount", "-t", "tmpfs", "-o", options, "qgw-test", str(folder))
    try:
        yield folder
    finally:
        end.stop()
        end.end_children()
        run("umount", "-l", str(folder))


def fill(folder: Path) -> Path:
    """Use up all the space there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return ballast


@pytest.mark.parametrize("which", [0, 1])
def test_a_full_disk_uses_no_key_and_heals(brief: Lab, which: int) -> None:
    end = brief.ends[which]
    with small_disk(end, 4096) as folder:
        brief.start()
        before = brief.newest()
        ballast = fill(folder)
        until(lambda: state(end) == "blocked", "the block")
        assert not brief.ping(which, count=1)
        found = end.tunnel()
        told = f"{found['reason']} {found['last_failure']} {end.tail(200)}"
        assert "full" in told or "space" in told
        used = {seen.key_id for seen in brief.watcher.epochs.values()}
        blocked_at = stock(end)["consumed"]
        assert found["epoch"] is None
        ballast.unlink()
        healed = brief.in_force(before)
        assert brief.ping(which)
        assert brief.watcher.epochs[healed].key_id not in used
        assert stock(end)["consumed"] > blocked_at
    assert_no_key_twice(brief)


def test_a_store_that_cannot_be_written(lab: Lab) -> None:
    with small_disk(lab.a, 4096) as folder:
        lab.start()
        lab.a.stop()
        run("mount", "-o", "remount,ro", str(folder))
        code, said = run_daemon(lab.a)
        assert code == 78
        assert str(lab.a.folder / "state") in said
        assert "mounted read-only" in said
        assert "hint: " in said
        assert "Traceback" not in said
        run("mount", "-o", "remount,rw", str(folder))
        before = lab.newest()
        lab.a.start()
        lab.a.wait_ready()
        lab.in_force(before)


def test_a_store_of_another_master_key(lab: Lab) -> None:
    lab.start()
    lab.a.stop()
    other = (lab.b.folder / "master-key").read_bytes()
    (lab.a.folder / "master-key").write_bytes(other)
    code, said = run_daemon(lab.a)
    assert code == 78
    assert "master key" in said
    assert "Traceback" not in said


def assert_no_key_twice(lab: Lab) -> None:
    used = [seen.key_id for seen in lab.watcher.epochs.values() if seen.key_id]
    never(len(used) - len(set(used)), "keys used twice")
    assert lab.watcher.disagreements == []


__all__ = ["TUNNEL", "assert_no_key_twice"]
