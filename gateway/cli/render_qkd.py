"""The supply of QKD keys on a terminal."""

from collections.abc import Sequence
from datetime import datetime

import click

from gateway.cli.text import clean, coloured, listing, table
from gateway.control.qkd_schema import (
    FetchResult,
    KMEReport,
    KMETrouble,
    QKDFinding,
    QKDLink,
    QKDStatus,
    Supply,
)
from gateway.units import duration, plural

Values = list[tuple[str, str]]

_GRADE_WIDTH = len("warning")
_STEP_WIDTH = len("certificate")


def qkd_link_table(links: Sequence[QKDLink]) -> str:
    """Return one row a link, and below it what is wrong with their KMEs."""
    if not links:
        return "no links"
    header = ("LINK", "SOURCE", "STOCK", "AVAILABLE", "DRAWN", "KME", "TUNNELS")
    rows = [
        (
            link["link"],
            link["source"],
            link["stock"]["alarm"],
            str(link["stock"]["available"]),
            _drawn_where(link),
            link["route"] or _first_of(link["kmes"]),
            ",".join(link["tunnels"]) or "-",
        )
        for link in links
    ]
    errors = [
        f"{clean(link['link'])}: {clean(link['error'])}"
        for link in links
        if link["error"]
    ]
    return "\n".join([table(header, rows), *([""] if errors else []), *errors])


def qkd_status(status: QKDStatus) -> str:
    """Return everything about one link's supply: the store, then the KME."""
    stock = status["stock"]
    values: Values = [
        ("keys from", status["description"]),
        ("drawn at", _drawing_end(status)),
        ("tunnels", ", ".join(status["tunnels"]) or "none"),
        ("stock", stock["alarm"]),
        ("available", _available(status)),
        ("used", f"{stock['consumed']}, {stock['expired']} expired or purged"),
        ("rate", f"{_rate(stock['rate_in'])} in, {_rate(stock['rate_out'])} out"),
        ("empty in", _empty_in(status)),
    ]
    if status["supply"] is not None:
        values += _supply(status["supply"], status)
    if status["kme"] is not None:
        values += _kme(status["kme"])
    if status["kme_trouble"] is not None:
        values += _kme_trouble(status["kme_trouble"])
    return listing("link", status["link"], values)


def fetched(result: FetchResult) -> str:
    """Return what a fetch brought, in one line, and one of what was refused."""
    stock = f"{result['available']} available"
    if result["unconfirmed"]:
        stock += f", {result['unconfirmed']} of them not confirmed by the peer yet"
    text = f"drew {plural(result['drawn'], 'key')} for link {clean(result['link'])}"
    lines = [f"{text}: {stock}"]
    if result["refused"]:
        lines.append(f"refused: {_counts(result['refused'])}")
    return "\n".join(lines)


def found(finding: QKDFinding) -> str:
    """Return what one step of a test found, and on the next line what to do."""
    grade, step = clean(finding["grade"]), clean(finding["step"])
    padding = " " * (_GRADE_WIDTH - len(grade))
    start = f"  {coloured(grade)}{padding}  {step.ljust(_STEP_WIDTH)}  "
    lines = [start + clean(finding["text"])]
    if finding["hint"]:
        margin = " " * (2 + _GRADE_WIDTH + 2 + _STEP_WIDTH + 2)
        lines.append(f"{margin}hint: {clean(finding['hint'])}")
    return "\n".join(lines)


class FindingPrinter:
    """Prints findings as they come, under a heading for the files and for each KME.

    Args:
        link: Name of the link.
        quiet: Print nothing.
    """

    def __init__(self, link: str, *, quiet: bool) -> None:
        self._link = link
        self._quiet = quiet
        self._heading: str | None = None

    def show(self, finding: QKDFinding) -> None:
        """Print one."""
        if self._quiet:
            return
        if self._heading != finding["source"]:
            self._heading = finding["source"]
            click.echo(clean(self._heading or f"link {self._link}"))
        click.echo(found(finding))


def _drawn_where(link: QKDLink) -> str:
    if not link["kmes"] and not link["route"]:
        return "-"
    return "here" if link["draws"] else "peer"


def _first_of(kmes: Sequence[str]) -> str:
    if not kmes:
        return "-"
    more = len(kmes) - 1
    return f"{kmes[0]} +{more}" if more else kmes[0]


def _drawing_end(status: QKDStatus) -> str:
    if status["kme"] is None and status["kme_trouble"] is None:
        return ""
    if status["draws"]:
        return "this end"
    return "the peer's end; fetched here" if status["tunnels"] else "no end yet"


def _available(status: QKDStatus) -> str:
    text = str(status["stock"]["available"])
    if status["kme"] is not None or status["kme_trouble"] is not None:
        text += f" of {status['target']} aimed for"
    if status["stock"]["reserved"]:
        text += f", {status['stock']['reserved']} more reserved"
    if status["unconfirmed"]:
        text += f"; {status['unconfirmed']} not confirmed by the peer"
        text += "" if status["tunnels"] else ", which no tunnel reaches"
    return text


def _empty_in(status: QKDStatus) -> str:
    scheduled, measured = (
        status["scheduled_empty_s"],
        status["stock"]["seconds_to_empty"],
    )
    schedule = "its tunnels are down" if status["tunnels"] else "no tunnel uses it"
    if scheduled is not None:
        schedule = f"{duration(scheduled)} by the schedule"
        schedule += f" ({_rate(status['scheduled_rate'])}) if no more come"
    if measured is None:
        return f"{schedule}; as measured it does not fall"
    return f"{schedule}; {duration(measured)} as measured"


def _supply(supply: Supply, status: QKDStatus) -> Values:
    compared = supply["compared_ago_s"]
    calls = f"{plural(supply['drawn'], 'key')} in {plural(supply['calls'], 'call')}"
    return [
        ("at the peer", _at_peer(supply, status)),
        ("drawn", calls if status["draws"] or supply["calls"] else ""),
        ("fetched", plural(supply["fetched"], "key") if supply["fetched"] else ""),
        ("announced", _waiting(supply["announced"])),
        ("compared", "" if compared is None else f"{duration(compared)} ago"),
        ("refused", _counts(supply["refused"])),
        ("last error", supply["error"]),
        ("hint", supply["hint"]),
        ("next try", f"in {duration(supply['retry_in_s'])}" if supply["error"] else ""),
    ]


def _waiting(announced: int) -> str:
    return f"{plural(announced, 'key')} that the peer has not answered for"


def _kme(kme: KMEReport) -> Values:
    ids = " to ".join(filter(None, (kme["source_kme_id"], kme["target_kme_id"])))
    stored = "not told"
    if kme["stored_key_count"] is not None:
        stored = str(kme["stored_key_count"])
        if kme["max_key_count"] is not None:
            stored += f" of {kme['max_key_count']} it can store"
    keys = f"{kme['key_size']} bits, {kme['max_key_per_request']} a call at most"
    return [
        ("kme", f"{kme['source']} ({ids})" if ids else kme["source"]),
        ("kme has", stored),
        ("kme's keys", keys),
        ("our certificate", _expires(kme["certificate_expires"])),
        ("tls", _key_exchange(kme["tls_group"])),
        *(("kme note", note) for note in kme["notes"]),
    ]


def _kme_trouble(trouble: KMETrouble) -> Values:
    return [
        ("kme error", f"{trouble['message']} ({trouble['fault']})"),
        ("kme hint", trouble["hint"]),
    ]


def _key_exchange(group: str) -> str:
    if not group:
        return "key exchange not known"
    if "MLKEM" in group:
        return f"key exchange {group}"
    return f"key exchange {group}: a quantum computer opens a recording of it later"


def _expires(text: str | None) -> str:
    if text is None:
        return ""
    try:
        return f"ends {datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return f"ends {text}"


def _at_peer(supply: Supply, status: QKDStatus) -> str:
    if not status["tunnels"]:
        return "not known: no tunnel uses the link"
    if not supply["asks"]:
        return "told to the end that starts handshakes, which is not this one"
    count = supply["peer_available"]
    return "not heard of yet" if count is None else str(count)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))


def _rate(per_second: float) -> str:
    return f"{per_second:.4g}/s"
