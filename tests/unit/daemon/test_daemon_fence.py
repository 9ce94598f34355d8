"""The daemon's fence: up before all else, over every change, passing only by grant."""

from pathlib import Path

import pytest

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Passage
from gateway.dataplane.fence.plan_file import FILE_NAME, read_plan
from gateway.errors import DataPlaneError, GatewayError
from tests.unit.daemon.services import TUNNEL, End, make_ends, until


@pytest.fixture
def ends(tmp_path: Path) -> list[End]:
    return make_ends(tmp_path)


def loads(end: End) -> list[tuple[FencePlan, FencePlan | None]]:
    return [
        (call[1], call[2])  # type: ignore[misc]  # of the call that records them
        for call in end.fence.calls
        if call[0] == "load"
    ]


def fenced(*remote: str, name: str = TUNNEL) -> FencedTunnel:
    return FencedTunnel(name, remote, ("10.10.0.0/24",))


def stored(end: End) -> FencePlan:
    return read_plan(end.folder / "state" / FILE_NAME)


async def test_the_fence_stands_before_anything_can_refuse_to_start(
    ends: list[End],
) -> None:
    end = ends[0]
    end.plane.fail_next("add_tunnel")
    await end.start()
    assert TUNNEL in end.service.tunnels.failed
    (first, _), (last, before) = loads(end)[:2]
    assert first.tunnels == last.tunnels == (fenced("10.20.0.0/24"),)
    assert before is None
    assert end.fence.calls[0][0] == "load"
    assert end.fence.grants == {}
    assert stored(end).tunnels == first.tunnels
    assert set(stored(end).ports) == {end.port, 51811, 51812}
    await end.stop()


async def test_a_daemon_whose_fence_is_refused_does_not_start(ends: list[End]) -> None:
    end = ends[0]
    end.fence.failure = DataPlaneError("no")
    with pytest.raises(GatewayError, match="no"):
        await end.start()
    assert end.plane.calls == []


async def test_passing_is_granted_before_the_plane_sends(ends: list[End]) -> None:
    order: list[tuple[str, object]] = []
    end = ends[0]
    for name, recorder in (("plane", end.plane), ("fence", end.fence)):
        recorder.calls = _Recorder(name, order)
    for each in ends:
        await each.start()
    await until(lambda: all(each.in_force() for each in ends), "in force")
    assert order.index(("fence", "grant")) < order.index(("plane", "activate"))
    passage, seconds = end.fence.grants[TUNNEL]
    assert passage == Passage(devices=("qgw0",))
    assert 0 < seconds <= 180
    for each in ends:
        await each.stop()
        assert TUNNEL in each.fence.grants, "a stop leaves what passes"


async def test_going_down_closes_the_fence_before_the_keys_go(ends: list[End]) -> None:
    order: list[tuple[str, object]] = []
    for each in ends:
        await each.start()
    await until(lambda: all(each.in_force() for each in ends), "in force")
    end = ends[0]
    for name, recorder in (("plane", end.plane), ("fence", end.fence)):
        recorder.calls = _Recorder(name, order)
    await end.call("tunnel.down", name=TUNNEL)
    await until(lambda: ("plane", "block") in order, "blocked")
    assert order.index(("fence", "revoke")) < order.index(("plane", "block"))
    assert end.fence.grants == {}
    for each in ends:
        await each.stop()


async def test_a_reload_refuses_old_and_new_until_it_is_through(
    ends: list[End],
) -> None:
    end = ends[0]
    await end.start()
    end.tunnel_keys[TUNNEL]["remote_subnets"] = ["10.20.7.0/24"]
    end.write()
    end.fence.calls.clear()
    await end.service.reload()
    (new, old), (last, before) = loads(end)
    assert new.tunnels == last.tunnels == (fenced("10.20.7.0/24"),)
    assert old is not None
    assert old.tunnels == (fenced("10.20.0.0/24"),)
    assert before is None
    assert stored(end).tunnels == new.tunnels
    await end.stop()


async def test_a_removed_tunnel_leaves_fence_and_file(ends: list[End]) -> None:
    end = ends[0]
    await end.start()
    del end.tunnel_keys[TUNNEL]
    end.write()
    await end.service.reload()
    assert end.fence.plan.tunnels == stored(end).tunnels == ()
    await end.stop()


async def test_a_refused_reload_changes_nothing(ends: list[End]) -> None:
    end = ends[0]
    await end.start()
    plan = end.fence.plan
    end.tunnel_keys[TUNNEL]["remote_subnets"] = ["10.20.7.0/24"]
    end.tunnel_keys[TUNNEL]["rotation_interval"] = -1
    end.write()
    with pytest.raises(GatewayError):
        await end.service.reload()
    assert end.fence.plan == plan == stored(end)
    await end.stop()


async def test_a_start_refuses_what_the_last_run_did_until_it_is_through(
    ends: list[End],
) -> None:
    end = ends[0]
    await end.start()
    await end.stop()
    end.tunnel_keys[TUNNEL]["remote_subnets"] = ["10.20.7.0/24"]
    end.fence.calls.clear()
    await end.start()
    (_, old), (_, before) = loads(end)
    assert old is not None
    assert old.tunnels == (fenced("10.20.0.0/24"),)
    assert before is None
    await end.stop()


async def test_a_disabled_tunnel_is_fenced_and_passes_nothing(ends: list[End]) -> None:
    end = ends[0]
    end.tunnel_keys[TUNNEL]["enabled"] = False
    await end.start()
    assert end.fence.plan.tunnels == (fenced("10.20.0.0/24"),)
    assert end.fence.grants == {}
    await end.stop()


async def test_a_record_that_cannot_be_written_is_said_and_tried_again(
    ends: list[End],
) -> None:
    end = ends[0]
    await end.start()
    (end.folder / "state" / "fence.new").mkdir()
    end.tunnel_keys[TUNNEL]["remote_subnets"] = ["10.20.7.0/24"]
    end.write()
    result = await end.service.reload()
    assert "its record for the next boot is old" in result["failed"]["fence"]
    await end.service.fencing.keep_record()
    assert "cannot write" in (await end.service.fencing.read()).unrecorded
    assert stored(end).tunnels == (fenced("10.20.0.0/24"),)
    (end.folder / "state" / "fence.new").rmdir()
    await end.service.fencing.keep_record()
    assert (await end.service.fencing.read()).unrecorded == ""
    assert stored(end).tunnels == (fenced("10.20.7.0/24"),)
    await end.stop()


@pytest.mark.parametrize("harm", ["removed", "changed"])
async def test_a_record_that_others_harm_is_written_anew_and_told(
    ends: list[End], harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    end = ends[0]
    await end.start()
    before = stored(end)
    path = end.folder / "state" / FILE_NAME
    if harm == "removed":
        path.unlink()
    else:
        path.write_text("{}")
    await until(lambda: path.exists() and path.read_text() != "{}", "anew", 15)
    assert stored(end) == before
    assert f"{path} was {harm} by another program" in caplog.text
    caplog.clear()
    await end.service.fencing.keep_record()
    assert "by another program" not in caplog.text
    await end.stop()


class _Recorder(list[tuple[object, ...]]):
    """A record of calls that notes their order among those of others."""

    def __init__(self, name: str, order: list[tuple[str, object]]) -> None:
        super().__init__()
        self._name, self._order = name, order

    def append(self, call: tuple[object, ...]) -> None:
        super().append(call)
        self._order.append((self._name, call[0]))
