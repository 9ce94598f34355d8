"""A picture of a forecast: each link's stock over time, passes, and when it is used up.

matplotlib draws it without a display; nothing but bytes comes out. Colours are those of
Okabe and Ito (Color Universal Design, 2008), which colour-blind people tell apart.
"""

import io
import math
from datetime import UTC, datetime
from typing import Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gateway.planner.result import QUANTILES, Forecast, LinkForecast
from gateway.planner.space.times import DAY, Floats

Format = Literal["png", "svg"]

MAX_PANELS: Final = 12
"""Links in one picture; beyond, those whose tunnels fail come first."""

_BLUE, _SKY = "#0072B2", "#56B4E9"
_VERMILION, _GREEN, _PURPLE, _GREY = "#D55E00", "#009E73", "#CC79A7", "#555555"
_STATIONS: Final = ((_GREEN, "^"), (_PURPLE, "v"))

_WIDTH, _HEAD, _PANEL = 11.0, 1.0, 2.9
"""Inches: of the picture, of its title, of each link."""

_DOTS: Final = 110

_MAX_TICKS: Final = 9

_STEPS: Final = (1 / 24, 1 / 12, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 7, 14, 28, 56)
"""Days between ticks."""


def draw_picture(forecast: Forecast, form: Format) -> bytes:
    """Draw a forecast.

    Args:
        forecast: What to draw.
        form: ``png`` or ``svg``.
    """
    shown = _choose(forecast)
    style = mpl.rc_context(
        {
            "font.size": 10.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "qgw plan",  # the same forecast is the same file
        }
    )
    with style:
        height = _HEAD + _PANEL * len(shown)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        panels = figure.subplots(len(shown), 1, squeeze=False, sharex=True)[:, 0]
        for axes, link in zip(panels, shown, strict=True):
            _draw_link(axes, forecast, link)
        ticks = _ticks(forecast)
        panels[-1].set_xticks(ticks, [_label(each) for each in ticks])
        panels[-1].set_xlabel("UTC")
        figure.suptitle(_title(forecast, len(shown)), fontsize=12)
        # Without a date, for the same reason as the salt.
        metadata = {"Date": None} if form == "svg" else {}
        out = io.BytesIO()
        figure.savefig(out, format=form, dpi=_DOTS, metadata=metadata)
    return out.getvalue()


def _choose(forecast: Forecast) -> list[LinkForecast]:
    links = list(forecast.links.values())
    if len(links) <= MAX_PANELS:
        return links
    failing = {
        name
        for each in forecast.tunnels.values()
        if not each.holds
        for name in each.tunnel.links
    }
    links.sort(key=lambda each: each.link.name not in failing)
    return links[:MAX_PANELS]


def _title(forecast: Forecast, shown: int) -> str:
    plan = forecast.plan
    begin, end = (datetime.fromtimestamp(each, UTC) for each in (plan.start, plan.end))
    text = (
        f"Stock of QKD keys, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
        f"\n{plan.draws} weathers drawn"
    )
    hidden = len(forecast.links) - shown
    return f"{text}; {hidden} more links not shown" if hidden else text


def _draw_link(axes: Axes, forecast: Forecast, each: LinkForecast) -> None:
    times = _days(forecast, forecast.times)
    bands = each.bands
    low, lower, middle, upper, high = (bands[quantile] for quantile in QUANTILES)
    axes.fill_between(
        times,
        low,
        high,
        color=_SKY,
        alpha=0.35,
        linewidth=0,
        label="5 to 95 % of weathers",
    )
    axes.fill_between(
        times, lower, upper, color=_SKY, alpha=0.7, linewidth=0, label="25 to 75 %"
    )
    axes.plot(times, middle, color=_BLUE, linewidth=2, label="median")
    top = max(float(high.max()), 1.0)
    _draw_depletion(axes, forecast, each)
    _draw_passes(axes, each, top)
    axes.set_ylim(0.0, top * 1.22)
    axes.set_xlim(float(times[0]), float(times[-1]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda keys, _: f"{keys:,.0f}"))
    axes.set_ylabel("keys")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(_link_title(each), loc="left", fontsize=10, fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def _draw_depletion(axes: Axes, forecast: Forecast, each: LinkForecast) -> None:
    plan = forecast.plan
    net = each.demand - (each.supply if not each.passes else 0.0)
    if net > 0.0:
        lasts = min(each.link.stock / net, plan.span)
        axes.plot(
            _days(forecast, np.array([0.0, lasts])),
            [each.link.stock, each.link.stock - lasts * net],
            color=_GREY,
            linewidth=1.2,
            linestyle=(0, (5, 3)),
            label="if nothing comes",
        )
    bad = 1.0 - plan.probability
    for share, style, when in (
        (f"{100.0 * bad:.3g} %", ":", each.dry[1]),
        ("50 %", "-", each.dry[0]),
    ):
        if math.isfinite(when):
            axes.axvline(
                (plan.start + when) / DAY,
                color=_VERMILION,
                linestyle=style,
                linewidth=1.8,
                label=f"has run dry in {share}",
            )


def _draw_passes(axes: Axes, each: LinkForecast, top: float) -> None:
    names = sorted({one.flight.station.name for one in each.passes})
    for name, (colour, mark), height in zip(
        names, _STATIONS, (1.16, 1.08), strict=False
    ):
        passes = [one for one in each.passes if one.flight.station.name == name]
        most = max(1, *(one.bits for one in passes))
        axes.scatter(
            [one.flight.peak / DAY for one in passes],
            [top * height] * len(passes),
            s=[8.0 + 34.0 * one.bits / most for one in passes],
            # Hollow under clouds that were foretold.
            facecolors=[colour if one.probability else "none" for one in passes],
            edgecolors=colour,
            marker=mark,
            linewidth=0.8,
            label=f"pass over {name}",
            zorder=3,
        )


def _link_title(each: LinkForecast) -> str:
    used = ", ".join(each.tunnels) or "nothing"
    return (
        f"{each.link.name}: {each.supply * 86_400:,.0f} keys a day in, "
        f"{each.demand * 86_400:,.0f} out (to {used}); margin {each.margin} keys"
    )


def _ticks(forecast: Forecast) -> list[float]:
    """Return round moments within the span, days since 1970."""
    begin, end = forecast.plan.start / DAY, forecast.plan.end / DAY
    step = min(each for each in _STEPS if (end - begin) / each < _MAX_TICKS)
    return [k * step for k in range(math.ceil(begin / step), int(end / step) + 1)]


def _label(day: float) -> str:
    """Write a tick: the date, or the time of day where it is not midnight."""
    form = "%Y-%m-%d" if day % 1 == 0 else "%H:%M"
    return datetime.fromtimestamp(round(day * DAY), UTC).strftime(form)


def _days(forecast: Forecast, after: Floats) -> Floats:
    """Return times as matplotlib counts them: days since 1970."""
    return (forecast.plan.start + after) / DAY
