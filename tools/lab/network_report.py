"""The report of a network's weeks: a table, and a picture of stock over time."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lab.network import DAY, TIME_SCALE, TUNNELS
from lab.network_judge import Judgement
from lab.network_watch import Seen, TunnelSeen

# Okabe and Ito's colours, which colour-blind people tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
RED, GREY, SKY = "#D55E00", "#999999", "#56B4E9"

SHADES: Final = (ORANGE, GREY, RED)
"""Of the three things that happen."""

STATES: Final = {
    "fresh": (GREEN, "fresh QKD key"),
    "chained": (SKY, "QKD key by the chain"),
    "none": (ORANGE, "no QKD key (preferred)"),
    "blocked": (RED, "blocked"),
    "connecting": (GREY, "not up yet, or again"),
}

PANELS: Final = (
    ("Redu - Luxembourg, fibre", ("pool fibre", "fibre", "redu>lux")),
    ("Luxembourg - Singapore, satellite", ("pool satellite", "satellite", "lux>sin")),
    ("Redu - Singapore, relayed", ("redu-sin",)),
)

Line = tuple[list[float], list[int]]


def print_report(judgement: Judgement) -> None:
    """Print what happened."""
    print(f"\n{judgement.days:.1f} simulated days; none of the keys is a quantum key")
    for name, (start, end) in judgement.events.items():
        print(f"  day {start:4.1f} to {end:4.1f}  {name}")
    print(
        f"\n{'tunnel':10} {'policy':20} {'epochs':>6} {'fresh':>6} {'chain':>6} "
        f"{'none':>5} {'up on':>7} {'blocked':>9} {'packets':>16}  at the end"
    )
    for one in judgement.tunnels:
        first = "never" if one.first_up_day is None else f"day {one.first_up_day:.1f}"
        print(
            f"{one.name:10} {one.policy:20} {one.epochs:6} {one.fresh:6} "
            f"{one.chained:6} {one.without:5} {first:>7} {one.blocked_days:7.1f} d "
            f"{one.arrived:>7} of {one.sent:>5}  {one.at_end}"
        )
    print(
        f"\nrelayed        {judgement.relayed} keys over Luxembourg, "
        f"{judgement.batches} batches on the wire, no pad twice\n"
        f"leaked         {judgement.leaked_bytes} bytes of payload in "
        f"{judgement.captured_frames} frames"
    )
    for problem in judgement.problems:
        print(f"NOT KEPT       {problem}")


def draw_picture(
    path: Path,
    seen: Seen,
    events: Mapping[str, tuple[float, float]],
    began: float,
) -> None:
    """Draw stocks, passes, events and what each tunnel did."""
    # Imported here: only the picture needs it.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(
        4, 1, figsize=(11, 10), sharex=True, height_ratios=(3, 3, 2, 2.4)
    )
    for axis, (title, names) in zip(axes, PANELS, strict=False):
        for name, colour in zip(names, (GREY, BLUE, GREEN), strict=False):
            days, counts = _line(seen, name, began)
            label = "KME has for us" if name.startswith("pool") else name
            axis.step(days, counts, where="post", color=colour, label=label)
        axis.set_title(title, loc="left", fontsize=10, fontweight="bold")
        axis.set_ylabel("keys")
        axis.set_ylim(0, max(axis.get_ylim()[1], 5) * 1.25)  # room for the legend
        axis.legend(loc="upper left", fontsize=8, ncols=3)
    for day in _passes(seen, began):
        axes[1].axvline(day, color=BLUE, linestyle=":", linewidth=1)
    for (name, (start, end)), shade in zip(events.items(), SHADES, strict=True):
        span = (_day(start, began), _day(end, began))
        for axis in axes:
            axis.axvspan(*span, color=shade, alpha=0.15, linewidth=0)
        axes[0].text(
            sum(span) / 2, 1.14, name, ha="center", fontsize=9,
            transform=axes[0].get_xaxis_transform(),
        )  # fmt: skip
    _draw_tunnels(axes[3], seen, began)
    axes[3].set_xlabel("simulated day (dotted: a pass completed keys)")
    figure.suptitle("Three weeks of a simulated network: NOT quantum keys")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_tunnels(axis: Any, seen: Seen, began: float) -> None:
    for row, tunnel in enumerate(TUNNELS):
        looks = seen.tunnels.get((tunnel.name, tunnel.ends[0]), [])
        for name, (colour, _) in STATES.items():
            spans = [
                (_day(one.at, began), _day(after.at, began) - _day(one.at, began))
                for one, after in itertools.pairwise(looks)
                if _standing(one) == name
            ]
            axis.broken_barh(spans, (row - 0.4, 0.8), color=colour, linewidth=0)
    axis.set_yticks(
        range(len(TUNNELS)),
        [f"{one.name}\n{one.qkd}, every {one.every}" for one in TUNNELS],
        fontsize=8,
    )
    axis.set_ylim(len(TUNNELS) - 0.5, -0.5)
    axis.set_title("What each tunnel did", loc="left", fontsize=10, fontweight="bold")
    handles = [
        axis.broken_barh([], (0, 0), color=colour, label=text)
        for colour, text in STATES.values()
    ]
    axis.legend(handles=handles, loc="upper center", ncols=5, fontsize=8,
                bbox_to_anchor=(0.5, -0.28))  # fmt: skip


def _standing(one: TunnelSeen) -> str:
    if one.state == "up":
        return one.key or "none"
    return "blocked" if one.state == "blocked" else "connecting"


def _line(seen: Seen, name: str, began: float) -> Line:
    if name.startswith("pool"):
        points: Sequence[tuple[float, int]] = seen.pools.get(name[5:], [])
    else:
        points = seen.stocks.get(name, [])
    return [_day(at, began) for at, _ in points], [count for _, count in points]


def _passes(seen: Seen, began: float) -> list[float]:
    """Days on which a pass that gave key was counted."""
    looks = seen.passes.get("satellite", [])
    return [
        _day(after[0], began)
        for before, after in itertools.pairwise(looks)
        if after[1] > before[1]
    ]


def _day(moment: float, began: float) -> float:
    return (moment - began) * TIME_SCALE / DAY
