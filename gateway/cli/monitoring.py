"""A gateway's health as monitoring plugins tell it: one line and an exit code.

The line is ``QGW STATE - TEXT | PERFORMANCE DATA``, as the Monitoring Plugins
Development Guidelines have it; Icinga, Nagios, Checkmk, Zabbix and Sensu read it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.cli.text import clean
from gateway.control.schema import Alert, LinkStatus, StatusResult, TunnelStatus
from gateway.units import duration, plural

SHOWN: Final = 3
"""Alerts named in the line; the rest are counted: it goes out by SMS."""


class Level(IntEnum):
    """States of a plugin, which are its exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_LEVELS: Final = {"warning": Level.WARNING, "critical": Level.CRITICAL}
"""Severities that are not well; a note is."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a plugin says.

    Attributes:
        level: How it stands.
        text: Why, one line.
        data: Performance data, ``label=value;warn;crit;min;max`` each.
    """

    level: Level
    text: str
    data: Sequence[str] = ()

    @property
    def line(self) -> str:
        """The plugin's output; a bar in the text would begin the performance data."""
        head = f"QGW {self.level.name} - {clean(self.text).replace('|', '/')}"
        return f"{head} | {' '.join(self.data)}" if self.data else head


def judge_gateway(status: StatusResult) -> Judgement:
    """Judge the whole gateway."""
    tunnels, links = status["tunnels"], status["links"]
    up = sum(tunnel["state"] == "up" for tunnel in tunnels)
    alerts = _serious(status["alerts"])
    text = _summary(alerts) or f"{up} of {plural(len(tunnels), 'tunnel')} up"
    data = [
        f"up={up};;;0;{len(tunnels)}",
        *(
            f"{state}={sum(one['state'] == state for one in tunnels)};;;0"
            for state in sorted({one["state"] for one in tunnels} - {"up"})
        ),
        f"failed_rotations={sum(one['failed_rotations'] for one in tunnels)}c",
        *map(_stock_data, links),
    ]
    return Judgement(_level(alerts), text, data)


def judge_tunnel(status: StatusResult, name: str) -> Judgement:
    """Judge one tunnel and its link, and nothing else."""
    found = [tunnel for tunnel in status["tunnels"] if tunnel["name"] == name]
    if not found:
        return Judgement(Level.UNKNOWN, f"there is no tunnel named {name}")
    tunnel = found[0]
    ours = {("tunnel", name), ("link", tunnel["link"])}
    alerts = [a for a in _serious(status["alerts"]) if (a["about"], a["name"]) in ours]
    level, text = _level(alerts), _summary(alerts) or _well(tunnel)
    if level is Level.OK and tunnel["state"] != "up":
        # Not to come up is no fault, but whoever names the tunnel wants it up.
        level = Level.WARNING
    links = [link for link in status["links"] if link["link"] == tunnel["link"]]
    return Judgement(level, text, [*_tunnel_data(tunnel), *map(_stock_data, links)])


def _serious(alerts: Iterable[Alert]) -> list[Alert]:
    """Return those that are more than notes, the worst first."""
    found = [alert for alert in alerts if alert["severity"] in _LEVELS]
    return sorted(found, key=lambda alert: -_LEVELS[alert["severity"]])


def _level(alerts: Sequence[Alert]) -> Level:
    return _LEVELS[alerts[0]["severity"]] if alerts else Level.OK


def _summary(alerts: Sequence[Alert]) -> str:
    shown = [
        f"{alert['about']} {alert['name']}: {alert['text']}"
        if alert["name"]
        else alert["text"]
        for alert in alerts[:SHOWN]
    ]
    if len(alerts) > SHOWN:
        shown.append(f"{len(alerts) - SHOWN} more")
    return "; ".join(shown)


def _well(tunnel: TunnelStatus) -> str:
    text = f"tunnel {tunnel['name']}: {tunnel['state']}"
    if tunnel["state"] != "up":
        return text
    since = tunnel["in_force"]["since_s"]
    ago = "" if since is None else f", in force for {duration(since)}"
    return f"{text}, epoch {tunnel['epoch']}{ago}"


def _tunnel_data(tunnel: TunnelStatus) -> list[str]:
    values = (
        ("epoch_age", tunnel["epoch_age_s"], "s"),
        ("lifetime_left", tunnel["lifetime_left_s"], "s"),
        ("rotations", tunnel["rotations"], "c"),
        ("failed_rotations", tunnel["failed_rotations"], "c"),
        ("rx_bytes", tunnel["rx_bytes"], "c"),
        ("tx_bytes", tunnel["tx_bytes"], "c"),
    )
    return [f"{n}={value:.0f}{unit}" for n, value, unit in values if value is not None]


def _stock_data(link: LinkStatus) -> str:
    """Return a stock with its thresholds: low_water warns, none is critical."""
    return f"stock_{link['link']}={link['available']};{link['low_water']}:;1:;0"
