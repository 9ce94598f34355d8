"""The demo: a minute of two gateways, told as it happens and summed up at the end.

Exits 1 if a packet was lost, a rotation failed or a byte of payload was seen on the
link between them.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway.dataplane.choose import PREFERENCE, available_planes
from gateway.errors import GatewayError
from lab.gateway import PORT, Gateway, Settings, make_pair
from lab.kme import FIBRE_SPEED, make_kmes
from lab.netns import Namespace, linked_pair
from lab.tools import finish_tool, start_capture, start_traffic
from lab.watch import POLL, Watcher

DEFAULT_SECONDS = 60.0
DEFAULT_INTERVAL = 5.0
BRING_UP_TIMEOUT = 30.0
"""Seconds until the first epoch must be in force; a slow VM needs several."""


def main() -> int:
    """Run the demo and return its exit status."""
    arguments = _parse()
    plane = choose_plane(arguments.plane)
    with (
        tempfile.TemporaryDirectory(prefix="qgw-demo-") as folder,
        linked_pair() as namespaces,
    ):
        settings = Settings(plane=plane, interval=arguments.interval)
        kmes = make_kmes(Path(folder) / "kme", namespaces)
        ends = make_pair(Path(folder) / "gateways", namespaces, settings, kmes)
        print(
            f"two gateways, {namespaces[0].name} and {namespaces[1].name}, "
            f"data plane {plane}, a new epoch every {arguments.interval:g} s"
        )
        print(
            "two KMEs (ETSI GS QKD 014, mutual TLS) on a simulated fibre of 80 km, "
            f"{FIBRE_SPEED} times faster than real: its keys are not quantum keys"
        )
        try:
            for kme in reversed(kmes):
                kme.start()
            for kme in kmes:
                kme.wait_for_keys()
            summary = _run(ends, namespaces, arguments)
        except (RuntimeError, TimeoutError) as error:
            print(f"demo: {error}", file=sys.stderr)
            for end in ends:
                print(f"--- gateway {end.letter}\n{end.tail()}", file=sys.stderr)
            return 1
        finally:
            for kme in kmes:
                kme.stop()
            for end in ends:
                end.stop()
                end.end_children()
            if arguments.keep_logs:
                for end in ends:
                    target = arguments.keep_logs / f"{end.letter}.log"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(end.log, target)
    summary = {"plane": plane, **summary}
    _print_summary(summary)
    if arguments.json:
        arguments.json.write_text(json.dumps(summary, indent=2) + "\n")
    good = not (summary["lost"] or summary["failed"] or summary["leaked_bytes"])
    good = good and summary["rotations"] > 0 and not summary["capture_dropped"]
    print("demo: all good" if good else "demo: FAILED")
    return 0 if good else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS)
    parser.add_argument("--interval", type=float, default=DEFAULT_INTERVAL)
    parser.add_argument("--plane", choices=["auto", *PREFERENCE], default="auto")
    parser.add_argument(
        "--every",
        type=float,
        default=1.0,
        metavar="MS",
        help="milliseconds between packets each way; a slow VM cannot do 1",
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep-logs", type=Path)
    return parser.parse_args()


def choose_plane(wanted: str) -> str:
    """Return the plane to use; say what each lacks that is passed over."""
    options = available_planes()
    for option in options:
        said = "can be used" if option.works else f"no: {option.reason}"
        print(f"data plane {option.name}: {said}")
    for option in options:
        if wanted == option.name and not option.works:
            print(f"demo: {option.reason}\nhint: {option.hint}", file=sys.stderr)
            sys.exit(1)
        if option.works and wanted in ("auto", option.name):
            return option.name
    print("demo: no data plane can be used here", file=sys.stderr)
    for option in options:
        print(f"hint: {option.name}: {option.hint}", file=sys.stderr)
    sys.exit(1)


def _run(
    ends: tuple[Gateway, Gateway],
    namespaces: tuple[Namespace, Namespace],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    seconds: float = arguments.seconds
    capture = start_capture(namespaces[0])
    for end in reversed(ends):
        end.start()
    ready = max(end.wait_ready() for end in ends)
    watcher = Watcher(ends)
    first = watcher.wait_in_force(BRING_UP_TIMEOUT)
    print(
        f"epoch {first} in force {time.monotonic() - ready:.2f} s after both were ready"
    )
    senders = start_traffic(namespaces, seconds, interval=arguments.every / 1000)
    _follow(watcher, seconds, shown={first})
    reports = [finish_tool(sender) for sender in senders]
    watcher.look()
    capture.send_signal(signal.SIGTERM)
    captured = finish_tool(capture)
    lost = sum(
        sender["sent"] - receiver["received"]
        for sender, receiver in zip(reports, reversed(reports), strict=True)
    )
    newest = max(watcher.epochs)
    complete = [
        seen
        for seen in watcher.epochs.values()
        # The newest may have been committed a moment before we looked last.
        if len(seen.in_force) == len(ends) or seen.number == newest
    ]
    never = len(watcher.epochs) - len(complete)
    return {
        "rotations": len(complete) - 1,
        "failed": max(watcher.failed.values()) + never + len(watcher.disagreements),
        "sources": [
            {
                "epoch": seen.number,
                "sources": list(seen.sources),
                "key_id": seen.key_id,
            }
            for seen in sorted(watcher.epochs.values(), key=lambda seen: seen.number)
        ],
        "sent": sum(report["sent"] for report in reports),
        "lost": lost,
        "missing": [report["missing"] for report in reports],
        "longest_gap_s": max(report["longest_gap_s"] for report in reports),
        "leaked_bytes": captured["leaked_bytes"],
        "captured_frames": captured["frames"],
        "captured_kinds": captured["kinds"],
        "capture_dropped": captured["dropped"],
    }


def _follow(watcher: Watcher, seconds: float, shown: set[int]) -> None:
    """Print each epoch once it is in force, until the traffic ends."""
    until = time.monotonic() + seconds
    for number in sorted(shown):
        _print_epoch(watcher, number)
    while time.monotonic() < until:
        watcher.look()
        for number, seen in sorted(watcher.epochs.items()):
            if number not in shown and len(seen.in_force) > 1:
                shown.add(number)
                _print_epoch(watcher, number)
        time.sleep(POLL)


def _print_epoch(watcher: Watcher, number: int) -> None:
    seen = watcher.epochs[number]
    print(f"  epoch {number:3}: {' + '.join(seen.sources)}; QKD key {seen.key_id}")


def _print_summary(summary: dict[str, Any]) -> None:
    kinds = ", ".join(
        f"{count} {_name(kind)}"
        for kind, count in sorted(summary["captured_kinds"].items())
    )
    print(
        f"\nrotations      {summary['rotations']}, failed {summary['failed']}\n"
        f"packets        {summary['sent']} sent, {summary['lost']} lost, "
        f"longest gap {summary['longest_gap_s'] * 1000:.0f} ms\n"
        f"on the link    {summary['captured_frames']} frames searched ({kinds})\n"
        f"leaked         {summary['leaked_bytes']} bytes of payload readable"
    )


def _name(kind: str) -> str:
    names = {f"udp/{PORT}": "handshake and control", "ip/6": "KME to KME"}
    return f"{names[kind]} ({kind})" if kind in names else kind


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GatewayError as error:
        sys.exit(f"demo: {error.message}\nhint: {error.hint}")
