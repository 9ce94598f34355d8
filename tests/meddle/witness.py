"""What both daemons say of their tunnel, asked again and again while things happen."""

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from lab.gateway import TUNNEL, Gateway

from gateway.control.client import ControlClient
from gateway.errors import ControlError
from tests.meddle.slowness import SLOW

POLL = 0.2 * SLOW
"""Seconds between two questions to a daemon."""

ANSWER_TIMEOUT = 1.0 * SLOW
"""Seconds a daemon may take to answer before it counts as silent."""


@dataclass(frozen=True, slots=True)
class Saying:
    """One answer.

    Attributes:
        at: When, monotonic seconds.
        state: The tunnel's state; empty while the daemon does not answer.
        reason: Why it is not up.
        hint: What to do.
        epoch: The epoch's number, or 0.
    """

    at: float
    state: str
    reason: str = ""
    hint: str = ""
    epoch: int = 0

    def __str__(self) -> str:
        cause = f" ({self.reason})" if self.reason else ""
        return f"{self.state or 'silent'}{cause}"


class Witness:
    """Asks one daemon from a thread until closed.

    Attributes:
        said: All answers, the oldest first.
    """

    def __init__(self, end: Gateway) -> None:
        self.said: list[Saying] = [Saying(time.monotonic(), "")]
        self._end = end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"witness {end.letter}")
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()

    @property
    def newest(self) -> Saying:
        """The last answer."""
        return self.said[-1]

    def between(self, start: float, end: float) -> Sequence[Saying]:
        """Return what it said in a span of time, with what it had said last before."""
        before = [one for one in self.said if one.at < start][-1:]
        return before + [one for one in self.said if start <= one.at <= end]

    def forget(self, before: float) -> None:
        """Drop old answers."""
        kept = [one for one in self.said if one.at >= before]
        self.said = kept or self.said[-1:]

    def _run(self) -> None:
        while not self._stopping.wait(POLL):
            self.said.append(self._ask())

    def _ask(self) -> Saying:
        answer: dict[str, Any] = {}
        with (
            contextlib.suppress(ControlError),
            ControlClient(self._end.socket, timeout=ANSWER_TIMEOUT) as client,
        ):
            answer = cast(
                "dict[str, Any]", client.call("tunnel.show", {"name": TUNNEL})
            )
        return Saying(
            time.monotonic(),
            str(answer.get("state", "")),
            str(answer.get("reason", "")),
            str(answer.get("hint", "")),
            int(answer.get("epoch") or 0),
        )
