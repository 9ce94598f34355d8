"""The plan on disk: whole or not at all, and nothing strange is taken for one."""

import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.plan_file import read_plan, write_plan
from gateway.errors import GatewayError

PLAN = FencePlan(
    (FencedTunnel("a-b", ("10.2.0.0/16", "fd00:2::/48"), ("10.1.0.0/16",)),),
    ("192.0.2.0/24",),
    (51810, 51811, 51812),
    accepted=("192.0.2.0/24", "198.51.100.0/24"),
)


def test_a_plan_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "fence.json"
    assert read_plan(path) == FencePlan()
    write_plan(path, PLAN)
    write_plan(path, PLAN)
    assert read_plan(path) == PLAN
    assert [each.name for each in tmp_path.iterdir()] == ["fence.json"]


def test_a_plan_of_an_earlier_release_accepted_what_was_exempt(tmp_path: Path) -> None:
    path = tmp_path / "fence.json"
    write_plan(path, PLAN)
    earlier = json.loads(path.read_text())
    del earlier["accepted"]
    path.write_text(json.dumps(earlier))
    assert read_plan(path).accepted == PLAN.exempt


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "fence.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    with pytest.raises(GatewayError, match=r"fence\.json"):
        read_plan(path)


def test_what_stands_where_the_new_plan_is_written_holds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "fence.json"
    os.mkfifo(tmp_path / "fence.new")
    with pytest.raises(GatewayError, match="cannot write"):
        write_plan(path, PLAN)
    (tmp_path / "fence.new").unlink()
    (tmp_path / "other").write_text("untouched")
    (tmp_path / "fence.new").symlink_to(tmp_path / "other")
    with pytest.raises(GatewayError, match="cannot write"):
        write_plan(path, PLAN)
    assert (tmp_path / "other").read_text() == "untouched"


def test_a_record_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fence.json"
    write_plan(path, PLAN)
    path.chmod(0o666)
    with pytest.raises(GatewayError, match="writable by others"):
        read_plan(path)


def test_a_disk_that_refuses_leaves_the_old_plan(tmp_path: Path) -> None:
    path = tmp_path / "fence.json"
    write_plan(path, PLAN)
    (tmp_path / "fence.new").mkdir()
    with pytest.raises(GatewayError, match="cannot write"):
        write_plan(path, FencePlan())
    assert read_plan(path) == PLAN


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(["10.0.0.0/8", 1]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "version",
                        "tunnels",
                        "exempt",
                        "ports",
                        "name",
                        "remote",
                        "local",
                        "accepted",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_strange_files_are_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "fence.json"
    path.write_text(json.dumps(value))
    with pytest.raises(GatewayError):
        read_plan(path)


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_cut_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "fence.json"
    write_plan(path, PLAN)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(GatewayError, match="damaged"):
        read_plan(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ports", "[1e999]"),
        ("ports", "[51810.5]"),
        ("ports", '["51810"]'),
        ("ports", "[true]"),
        ("ports", "{}"),
        ("exempt", '""'),
        ("exempt", "{}"),
        ("accepted", "{}"),
        ("accepted", "null"),
        ("tunnels", "{}"),
    ],
)
def test_values_of_another_type_are_damage(
    tmp_path: Path, key: str, value: str
) -> None:
    """Found by fuzzing: an infinite port ended the fence's start with a traceback."""
    path = tmp_path / "fence.json"
    members = {"version": "1", "tunnels": "[]", "exempt": "[]", "ports": "[]"}
    text = ", ".join(f'"{k}": {v}' for k, v in {**members, key: value}.items())
    path.write_text(f"{{{text}}}")
    with pytest.raises(GatewayError, match="damaged"):
        read_plan(path)
