"""A relay connection whose path is cut without a word, and comes back."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.netns import Namespace, cut

from gateway.relay.connector import MAX_DELAY
from gateway.relay.sockets import DEAD_AFTER, KEEPALIVE_INTERVAL
from tests.netns.labs import until

ROOT = Path(__file__).parents[2]

SLACK = 2.0
"""Seconds that the kernel's timers and a busy machine may add."""


class End:
    """A program in one host, and what it said last."""

    def __init__(
        self, host: Namespace, name: str, peer: Namespace, folder: Path, period: float
    ) -> None:
        self._said = folder / f"{name}.log"
        words = (name, host.address, "b" if name == "a" else "a", peer.address)
        with self._said.open("w") as log:
            self.process = host.spawn(
                [
                    *("env", f"--chdir={ROOT}", sys.executable),
                    *("-m", "tests.netns.relay_end", *words, str(period)),
                ],
                stdout=log.fileno(),
                stderr=subprocess.STDOUT,
            )

    def last(self) -> dict[str, Any]:
        lines = self._said.read_text().splitlines()
        last: dict[str, Any] = json.loads(lines[-1]) if lines else {"connected": None}
        return last

    def is_connected(self) -> bool:
        return bool(self.last()["connected"])


@pytest.fixture
def ends(pair: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[list[End]]:
    """One is silent, so that only probes tell it; the other has messages unanswered."""
    a, b = pair
    made = [End(a, "a", b, tmp_path, 0.0), End(b, "b", a, tmp_path, 0.3)]
    yield made
    for end in made:
        end.process.kill()
        end.process.wait()


def test_a_cut_is_noticed_and_mended(
    pair: tuple[Namespace, Namespace], ends: list[End]
) -> None:
    until(lambda: all(end.is_connected() for end in ends), "the connections")
    cut(pair[1], is_cut=True)
    when = time.monotonic()
    limit = DEAD_AFTER + KEEPALIVE_INTERVAL + SLACK
    until(lambda: not any(end.is_connected() for end in ends), "the losses", limit)
    assert all(end.last()["at"] - when < limit for end in ends)
    time.sleep(3.0)
    cut(pair[1], is_cut=False)
    mended = time.monotonic()
    until(lambda: all(end.is_connected() for end in ends), "the return", MAX_DELAY)
    assert all(end.last()["at"] > mended for end in ends)
