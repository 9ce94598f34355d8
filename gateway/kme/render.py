"""`qgw-kme status` for a person."""

from collections.abc import Mapping


def show_status(status: Mapping[str, object]) -> str:
    """Render the status of a KME."""
    link = status.get("link")
    lines = [
        f"KME {status['kme_id']} ({status['end']}) at {status['url']}",
        "keys: SIMULATED, not quantum keys",
        (
            f"stored: {status['stored_key_count']} of {status['max_key_count']};"
            f" at {status['peer_kme_id']}: {status['peer_stored_key_count']}"
        ),
        (
            f"since start: {status['drawn_keys']} drawn, {status['delivered_keys']}"
            f" delivered, {status['lost_keys']} lost"
        ),
        f"waiting to be fetched: {status['waiting_key_count']}",
    ]
    if isinstance(link, Mapping):
        lines += _link_lines(link)
    if status.get("peer_problem"):
        lines.append(f"PEER: {status['peer_problem']}")
    if status.get("misbehaviour"):
        left = status.get("misbehaviour_left")
        often = "until told otherwise" if left is None else f"{left} more times"
        lines.append(f"MISBEHAVES on purpose: {status['misbehaviour']}, {often}")
    return "\n".join(clean(line) for line in lines)


def clean(text: str) -> str:
    """Return text without what could move a terminal's cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _link_lines(link: Mapping[str, object]) -> list[str]:
    qber, rate = link.get("qber"), link.get("secret_rate")
    parts = [f"link: {link.get('state')}, {link.get('description')}"]
    if isinstance(rate, int | float):
        parts.append(f"{rate:.0f} secret bits/s")
    if isinstance(qber, int | float):
        parts.append(f"QBER {qber:.2%}")
    lines = [", ".join(parts)]
    if link.get("alarm"):
        lines.append(f"ALARM: {link['alarm']}")
    return lines
