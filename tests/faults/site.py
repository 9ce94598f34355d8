"""Two gateways, and hands that break and repair them."""

import contextlib
import os
import shutil
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab.gateway import TUNNEL, Gateway
from lab.netns import cut, run
from lab.tripwire import Tripwire

from gateway.errors import ControlError
from tests.faults.ledger import RESTORED
from tests.faults.plan import AIMED, RESTART, Burst, Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

STARTING = RESTART[0]
"""Seconds between a kill and the start that a second kill interrupts."""


class Site:
    """Two gateways under attack.

    Attributes:
        ends: By letter.
        died: Daemons that ended without being asked to, with the end of their log.
        missed: Aimed faults that saw no message and struck anyway.
    """

    def __init__(self, ends: tuple[Gateway, Gateway], interval: float) -> None:
        self.ends = {end.letter: end for end in ends}
        self.died: list[str] = []
        self.missed = 0
        self._interval = interval
        self._copies: dict[str, list[Path]] = {end.letter: [] for end in ends}

    def strike(self, burst: Burst) -> float:
        """Let a burst happen and be repaired; return when the last repair was."""
        self._mourn()
        timeline: list[tuple[float, Callable[[], None]]] = []
        start = time.monotonic()
        for fault in burst.faults:
            if fault.kind is Kind.CUT_LONG:
                self._begin(fault)
                time.sleep(fault.lasts)
                self._end(fault)
                start = time.monotonic()
                continue
            if fault.kind in AIMED:
                self._take_aim(fault)
                start = time.monotonic()
                at = 0.0
            else:
                at = fault.after
            timeline += [
                (start + at, partial(self._begin, fault)),
                (start + at + fault.lasts, partial(self._end, fault)),
            ]
        repaired = start
        for when, act in sorted(timeline, key=lambda step: step[0]):
            time.sleep(max(0.0, when - time.monotonic()))
            act()
            repaired = time.monotonic()
        return repaired

    def ensure_running(self) -> None:
        """Start what does not run, as systemd's Restart=always does."""
        for end in self.ends.values():
            if end.process is None:
                end.start()

    # -- One fault

    def _take_aim(self, fault: Fault) -> None:
        """Wait for the fault's message; ask for a rotation if it is in a hurry."""
        assert fault.aim is not None
        wire = Tripwire(self.ends["b"].namespace)
        try:
            if fault.hurry:
                with contextlib.suppress(ControlError):
                    self.ends["a"].call("tunnel.rotate", name=TUNNEL)
            if not wire.wait(fault.aim, 1.2 * self._interval):
                self.missed += 1
        finally:
            wire.close()
        time.sleep(fault.after)

    def _begin(self, fault: Fault) -> None:  # noqa: C901  # a table
        end = self.ends[fault.end]
        match fault.kind:
            case Kind.KILL | Kind.SHOOT:
                end.kill()
                self._copy(end)
            case Kind.KILL_BOTH | Kind.SHOOT_BOTH:
                for other in self.ends.values():
                    if other.process is not None:
                        other.process.send_signal(signal.SIGKILL)
                for other in self.ends.values():
                    other.kill()
            case Kind.KILL_STARTING:
                end.kill()
                time.sleep(STARTING)
                end.start()
            case Kind.STOP:
                self._signal(end, signal.SIGCONT)
                end.stop()
                self._copy(end)
            case Kind.FREEZE:
                self._signal(end, signal.SIGSTOP)
            case Kind.CUT | Kind.CUT_LONG | Kind.CUT_AT:
                cut(end.namespace, is_cut=True)
            case Kind.ONE_WAY:
                _lose(end, "blackhole")
            case Kind.RESTORE:
                end.kill()
                self._restore(end)
            case Kind.PLANE:
                _kill_wireguard_go(end, only_one=fault.hurry)

    def _end(self, fault: Fault) -> None:
        end = self.ends[fault.end]
        match fault.kind:
            case Kind.KILL_STARTING:
                end.kill()
                time.sleep(STARTING)
            case Kind.FREEZE:
                self._signal(end, signal.SIGCONT)
            case Kind.CUT | Kind.CUT_LONG | Kind.CUT_AT:
                cut(end.namespace, is_cut=False)
            case Kind.ONE_WAY:
                _lose(end, "noqueue")
            case _:
                pass
        if fault.kind is Kind.KILL_BOTH or fault.kind is Kind.SHOOT_BOTH:
            self.ensure_running()
        elif end.process is None:
            end.start()

    @staticmethod
    def _signal(end: Gateway, number: signal.Signals) -> None:
        if end.process is not None:
            end.process.send_signal(number)

    def _copy(self, end: Gateway) -> None:
        """Keep a copy of the state of a gateway that is not running."""
        copies = self._copies[end.letter]
        target = end.folder / f"copy-{len(copies)}"
        shutil.copytree(end.folder / "state", target)
        copies.append(target)

    def _restore(self, end: Gateway) -> None:
        """Put a copy of middle age in the place of the state directory."""
        copies = self._copies[end.letter]
        if not copies:
            self._copy(end)
        copy = copies[len(copies) // 2]
        shutil.rmtree(end.folder / "state")
        shutil.copytree(copy, end.folder / "state")
        with end.log.open("a") as log:
            print(RESTORED, file=log)

    def _mourn(self) -> None:
        """Note daemons that ended by themselves; start them again."""
        for end in self.ends.values():
            if end.process is not None and end.process.poll() is not None:
                self.died.append(
                    f"{end.letter}: {end.process.returncode}: {end.tail()}"
                )
                end.process = None
                end.start()


def _lose(end: Gateway, discipline: str) -> None:
    """Lose what goes from the network to one end, or stop losing it."""
    wire = replace(end.namespace, name=end.namespace.wire)
    run("tc", "-n", wire.name, "qdisc", "replace", "dev", wire.leg, "root", discipline)


def _kill_wireguard_go(end: Gateway, *, only_one: bool) -> None:
    for pid in end.namespace_pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "wireguard-go":
                os.kill(pid, signal.SIGKILL)
                if only_one:
                    return
