"""Which threads a rotation uses: changing them costs more than most calls do."""

import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.daemon.conftest import start_both
from tests.unit.daemon.services import TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import in_force

if TYPE_CHECKING:
    from collections.abc import Callable

PLANE_CALLS = ("offer", "prepare", "activate", "poll")
STORE_CALLS = ("reserve", "reserve_first", "release", "consume")

TRIES = 5
"""Rotations: a quick call queues behind what the thread does every few seconds."""


@pytest.mark.parametrize("quick", [True, False])
async def test_only_what_waits_leaves_the_loops_thread(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch, *, quick: bool
) -> None:
    for end in ends:
        end.plane.quick = quick
    await start_both(ends)
    seen: dict[str, set[str]] = {}
    for end in ends:
        # It fills the store now and then, and quick calls would queue behind that.
        await end.service.links.stop()
        for method in PLANE_CALLS:
            _watch(monkeypatch, end.plane, method, seen)
        for method in STORE_CALLS:
            _watch(monkeypatch, end.service.store.uses, method, seen)
    here = threading.current_thread().name
    plane = {here} if quick else {"data-plane_0"}
    expected = {
        **dict.fromkeys(PLANE_CALLS, plane),
        **{key: {here} for key in ("reserve", "reserve_first", "release")},
        "consume": {"key-store_0"},
    }
    for rotations in range(1, TRIES + 1):
        seen.clear()
        await ends[0].call("tunnel.rotate", name=TUNNEL)
        await until(partial(in_force, ends, rotations), "a new epoch")
        if seen == expected:
            break
    assert seen == expected


def _watch(
    patch: pytest.MonkeyPatch, target: object, method: str, seen: dict[str, set[str]]
) -> None:
    original: Callable[..., object] = getattr(target, method)

    def call(*args: object, **kwargs: object) -> object:
        seen.setdefault(method, set()).add(threading.current_thread().name)
        return original(*args, **kwargs)

    patch.setattr(target, method, call)
