"""A host that meddles: steps in random order against running pairs, judged outside.

``QGW_MEDDLE_STEPS``, ``QGW_MEDDLE_SEED``, ``QGW_MEDDLE_PLANE`` and
``QGW_MEDDLE_KINDS`` (names, with commas) do what they say; 300 steps take a quarter
of an hour. ``QGW_MEDDLE_IPV6=1`` has the gateways call each other over IPv6.
`scripts/test meddle-long` plays 300 of all kinds over each.
``QGW_MEDDLE_KEEP`` names a folder that the gateways' logs are left in.
"""

import contextlib
import os

import pytest

from gateway.dataplane.choose import best_plane
from gateway.errors import PlaneUnsupportedError
from tests.meddle.kinds.table import OFF, playable
from tests.meddle.laboratory import Pace, laboratory
from tests.meddle.runner import Runner, draw_steps, tracebacks
from tests.meddle.slowness import SLOW
from tests.underload.measure import Watch

STEPS = int(os.environ.get("QGW_MEDDLE_STEPS", "30"))
SEED = int(os.environ.get("QGW_MEDDLE_SEED", "9"))
PLANE = os.environ.get("QGW_MEDDLE_PLANE", "auto")
KINDS = os.environ.get("QGW_MEDDLE_KINDS", "")
IPV6 = os.environ.get("QGW_MEDDLE_IPV6", "") == "1"
PACE = float(os.environ.get("QGW_MEDDLE_PACE", "0.01"))
"""Seconds between two packets of each flow."""

SHORT = 8.0
"""Seconds: kinds that take longer are not in the short form, unless named."""

MANY = 100
"""Steps from which on every kind is played, however long it takes."""

pytestmark = pytest.mark.timeout(SLOW * (600 if STEPS < MANY else 30.0 * STEPS))


def say(text: str) -> None:
    """Tell who reads the lane's log."""
    print(text, flush=True)  # noqa: T201  # it is for reading


@pytest.fixture
def plane() -> str:
    if os.geteuid():
        pytest.skip("needs root: run scripts/test meddle as root")
    try:
        return best_plane() if PLANE == "auto" else PLANE
    except PlaneUnsupportedError as error:
        pytest.skip(f"{error.message}: {error.hint}")


def test_nothing_in_clear_whatever_is_done(
    plane: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = playable(plane)
    if KINDS:
        kinds = {name: kinds[name] for name in KINDS.split(",")}
    is_any = KINDS or STEPS >= MANY
    chosen = [kind for kind in kinds.values() if is_any or kind.seconds <= SHORT]
    steps = draw_steps(chosen, STEPS, SEED)
    with capsys.disabled(), laboratory(plane, ipv6=IPV6, pace=Pace(PACE)) as lab:
        say(f"\nseed {SEED}, plane {plane}, {STEPS} steps of {len(chosen)} kinds")
        say(f"off: {', '.join(OFF) or 'none'}")
        lab.start()
        runner = Runner(lab)
        with contextlib.closing(Watch()) as watch:
            failed = runner.run(steps, say, watch)
        say(
            f"{len(steps)} steps of {len(chosen)} kinds: {len(failed)} failed, "
            f"{runner.repeats} attempts repeated under load\n"
            f"{sum(lab.clear.frames.values())} frames judged, {lab.clear.total} in "
            f"clear: {dict(lab.clear.frames)}\n"
            f"{lab.forger.sent} packets forged, {len(lab.flows.forged)} received"
        )
        assert not failed, "\n".join(map(str, failed))
        assert not tracebacks(list(lab.ends.values()))
        assert min(lab.clear.frames.values()) > STEPS
        assert lab.forger.sent > STEPS
