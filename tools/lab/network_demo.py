"""INT-UQKD in minutes: fibre and satellite, a relayed tunnel, and what goes wrong.

Redu and Luxembourg share a simulated fibre, Luxembourg and Singapore a simulated
satellite; Redu and Singapore share nothing, and get keys over Luxembourg. Three weeks
pass: an eavesdropper on the fibre, a cloudy week, a cut line. At the end there is a
report with a picture. Exits 1 if a byte of payload leaked, a pad or key was used twice,
or a policy was not kept. **None of these keys are quantum keys.**
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError
from gateway.kme.control import run_call
from lab.demo import choose_plane
from lab.network import (
    DAY,
    TIME_SCALE,
    TUNNELS,
    Network,
    cut_off,
    three_hosts,
    write_files,
)
from lab.network_judge import Judgement, judge
from lab.network_report import draw_picture, print_report
from lab.network_watch import NetworkWatcher, standing
from lab.relay_tap import read_relay_keys
from lab.stream import Stream
from lab.tools import finish_tool, start_capture

START: Final = 1_772_452_800
"""2026-03-02 12:00 UTC, when the simulation begins."""

SEED: Final = 57
"""Of the weather: clear nights on days 1 to 8."""

SATELLITE: Final = (
    'model = "satellite"',
    'preset = "luxembourg-singapore"',
    f"time_scale = {TIME_SCALE:.0f}",
    f"start = {START}",
    f"weather_seed = {SEED}",
    "least_bits = 7000",
    "most_bits = 12250",
)
"""A pass gives a hundredth of a real one's key, as the tunnels rotate so much less
often in simulated time than every two minutes. Half of it is for each end to draw, and
almost all that is used here is drawn in Luxembourg."""

DAYS: Final = 21.5
"""Of the whole scenario."""

SETTLE: Final = 45.0
"""Seconds after the last day in which everything should be up again."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens.

    Attributes:
        name: For the report.
        start: Day.
        end: Day.
        begin: Makes it happen.
        finish: Ends it.
    """

    name: str
    start: float
    end: float
    begin: Callable[[Network], None]
    finish: Callable[[Network], None]


def _order(link: str, site: str, **order: object) -> Callable[[Network], None]:
    def give(network: Network) -> None:
        socket = network.kmes[link, site].files.config.with_name("control.sock")
        run_call(socket, "POST", "link", order)

    return give


def _cut(site: str, *, is_cut: bool) -> Callable[[Network], None]:
    return lambda network: cut_off(network, site, is_cut=is_cut)


EVENTS: Final = (
    Event(
        "eavesdropper on the fibre",
        3.0,
        9.0,
        _order("fibre", "redu", action="eavesdrop-on"),
        _order("fibre", "redu", action="eavesdrop-off"),
    ),
    Event(
        "cloudy week",
        10.0,
        17.0,
        _order("satellite", "lux", action="overcast", station="Singapore", days=7.0),
        _order("satellite", "lux", action="overcast", station="Singapore", days=0.0),
    ),
    Event(
        "Singapore's line is cut",
        19.5,
        20.5,
        _cut("sin", is_cut=True),
        _cut("sin", is_cut=False),
    ),
)


def main() -> int:
    """Run the scenario and return its exit status."""
    arguments = _parse()
    plane = choose_plane(arguments.plane)
    arguments.report.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="qgw-network-") as folder,
        three_hosts() as network,
    ):
        try:
            write_files(network, Path(folder), plane, SATELLITE)
            judgement = _run(network, Path(folder), arguments.report)
        except (RuntimeError, TimeoutError) as error:
            print(f"demo-network: {error}", file=sys.stderr)
            for gateway in network.gateways.values():
                print(f"--- {gateway.letter}\n{gateway.tail()}", file=sys.stderr)
            return 1
        finally:
            network.stop()
            for gateway in network.gateways.values():
                if gateway.log.exists():
                    kept = arguments.report / f"{gateway.letter}.log"
                    kept.write_text(gateway.log.read_text())
    print_report(judgement)
    written = arguments.report / "report.json"
    written.write_text(json.dumps(judgement.as_json(), indent=2) + "\n")
    print(f"report: {written}, {arguments.report / 'stock.png'}")
    print("demo-network: all good" if judgement.good else "demo-network: FAILED")
    return 0 if judgement.good else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo-network",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--plane", default="auto")
    parser.add_argument("--report", type=Path, default=Path(".cache/demo-network"))
    return parser.parse_args()


def _run(network: Network, folder: Path, report: Path) -> Judgement:
    captures = [folder / f"{site}.pcap" for site in ("redu", "sin")]
    taps = [start_capture(network.hosts[path.stem], str(path)) for path in captures]
    for (link, site), kme in reversed(network.kmes.items()):
        kme.start()
        print(f"KME {link} at {site}: simulated, NOT quantum keys")
    network.kmes["fibre", "redu"].wait_for_keys()
    for gateway in network.gateways.values():
        gateway.start()
    for gateway in network.gateways.values():
        gateway.wait_ready()
    streams = {
        tunnel.name: Stream(
            (network.hosts[tunnel.ends[0]], network.hosts[tunnel.ends[1]]),
            {
                letter: tunnel.address(site)
                for letter, site in zip("ab", tunnel.ends, strict=True)
            },
        )
        for tunnel in TUNNELS
    }
    watcher = NetworkWatcher(network)
    try:
        began = _began(network)
        times = _play(network, began)
        stand = _wait_for_all(network)
    finally:
        watcher.close()
        for stream in streams.values():
            stream.close()
    ended = time.monotonic()
    relayed = network.gateways["redu"].call("network")
    network.stop()
    for tap in taps:
        tap.send_signal(signal.SIGTERM)
    found = [finish_tool(tap) for tap in taps]
    messages = read_relay_keys(*captures)
    judgement = judge(
        watcher.seen,
        streams,
        times,
        captured=found,
        messages=messages,
        standing=stand,
        began=began,
        ended=ended,
        network=relayed,
    )
    draw_picture(report / "stock.png", watcher.seen, times, began)
    return judgement


def _began(network: Network) -> float:
    """Return the monotonic second at which the simulation's time began."""
    socket = network.kmes["satellite", "lux"].files.config.with_name("control.sock")
    link = run_call(socket, "GET", "status")["link"]
    assert isinstance(link, dict)  # noqa: S101  # this end runs the model
    return time.monotonic() - (float(link["simulated_time"]) - START) / TIME_SCALE


def _play(network: Network, began: float) -> dict[str, tuple[float, float]]:
    """Let everything happen at its day; return when each thing really did."""
    moments = sorted(
        [(event.start, event, True) for event in EVENTS]
        + [(event.end, event, False) for event in EVENTS],
        key=lambda moment: moment[0],
    )
    times: dict[str, tuple[float, float]] = {}
    for day, event, begins in moments:
        _sleep_until(began, day)
        print(f"day {day:4.1f}: {event.name} {'begins' if begins else 'is over'}")
        (event.begin if begins else event.finish)(network)
        first = times.get(event.name, (time.monotonic(), 0.0))[0]
        times[event.name] = (first, time.monotonic())
    _sleep_until(began, DAYS)
    return times


def _sleep_until(began: float, day: float) -> None:
    left = began + day * DAY / TIME_SCALE - time.monotonic()
    time.sleep(max(0.0, left))


def _wait_for_all(network: Network) -> dict[str, str]:
    """Wait until every tunnel is up, for a while; return how each stands."""
    until = time.monotonic() + SETTLE
    while True:
        found = standing(network)
        if set(found.values()) == {"up"} or time.monotonic() > until:
            return found
        time.sleep(0.5)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GatewayError as error:
        sys.exit(f"demo-network: {error.message}\nhint: {error.hint}")
