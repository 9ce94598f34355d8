"""Messages between the two KMEs of a link: counters and names, never key bytes.

JSON over the same mutual TLS as the SAEs' interface, under ``/kme/v1/``, for the
certificate of the peer KME alone. This is the stand-in for what real QKD nodes exchange
over their classical channel; no standard describes it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from gateway.kme.link import KmeLinkStatus, LinkState
from gateway.kme.marks import MAX_MARK, DrawnKeys, Marks
from gateway.kme.requests import MAX_SAE_ID
from gateway.kme.settings import MAX_KEY_PER_REQUEST, MAX_KEY_SIZE, MIN_KEY_SIZE

DRAWINGS_PATH: Final = "/kme/v1/drawings"
"""POST a `DrawnKeys` before its keys are given: 204, or 409 with `drawn`."""

MARKS_PATH: Final = "/kme/v1/marks"
"""POST a `MarksMessage`: 200 with the other end's."""

LINK_PATH: Final = "/kme/v1/link"
"""POST an operator's switch of the link to the end that runs its model: 204."""

MAX_MESSAGE: Final = 16 * 1024
"""Bytes of a message, either way; the longest is below 2 KiB."""

MAX_TEXT: Final = 500
"""Characters of an alarm or description."""

_MAX_UNITS: Final = MAX_KEY_SIZE // MIN_KEY_SIZE


class BadMessageError(Exception):
    """Raised when the peer KME sends what no KME of this kind would."""


@dataclass(frozen=True, slots=True)
class MarksMessage:
    """How far one end has come.

    Attributes:
        link_id: Names the seed, so that KMEs of two links do not mix.
        marks: What it knows to be made and drawn.
        max_key_count: Keys that it stores.
        key_size: Bits that one stored key counts; equal at both ends.
        link: How the link stands; only the end that runs the model says so.
    """

    link_id: str
    marks: Marks
    max_key_count: int
    key_size: int
    link: KmeLinkStatus | None = None

    def encode(self) -> dict[str, object]:
        """Return the JSON object."""
        return {
            "link_id": self.link_id,
            "made": list(self.marks.made),
            "drawn": list(self.marks.drawn),
            "max_key_count": self.max_key_count,
            "key_size": self.key_size,
            "link": asdict(self.link) if self.link is not None else None,
        }


def decode_marks(message: Mapping[str, object]) -> MarksMessage:
    """Read a `MarksMessage`.

    Raises:
        BadMessageError: It is none.
    """
    link = message.get("link")
    return MarksMessage(
        _text(message, "link_id"),
        Marks(_pair(message, "made"), _pair(message, "drawn")),
        _whole(message, "max_key_count", 1, MAX_MARK),
        _whole(message, "key_size", MIN_KEY_SIZE, MAX_KEY_SIZE),
        _decode_link(link) if isinstance(link, Mapping) else None,
    )


def encode_drawing(drawing: DrawnKeys, link_id: str) -> dict[str, object]:
    """Return the JSON object that announces a drawing."""
    return {"link_id": link_id, **asdict(drawing)}


def decode_drawing(message: Mapping[str, object]) -> tuple[DrawnKeys, str]:
    """Read a drawing and its link's ID.

    Raises:
        BadMessageError: It is none.
    """
    drawing = DrawnKeys(
        _whole(message, "first", 0, MAX_MARK),
        _whole(message, "number", 1, MAX_KEY_PER_REQUEST),
        _whole(message, "units", 1, _MAX_UNITS),
        _whole(message, "size", MIN_KEY_SIZE, MAX_KEY_SIZE),
        _text(message, "master"),
        _text(message, "slave"),
    )
    if drawing.size % 8:
        raise BadMessageError("size is no multiple of 8")
    return drawing, _text(message, "link_id")


def decode_drawn(message: Mapping[str, object], first: int) -> int:
    """Read from where the peer lets us draw, beyond `first`.

    Raises:
        BadMessageError: It says nothing of the kind.
    """
    return _whole(message, "drawn", first + 1, MAX_MARK)


def decode_order(message: Mapping[str, object]) -> tuple[str, str, float]:
    """Read a switch of the link: what, over which station, for how many days.

    Raises:
        BadMessageError: It is none.
    """
    days = _number(message.get("days", 0.0), "days")
    if not math.isfinite(days):
        raise BadMessageError("days is no number")
    station = message.get("station", "")
    return (
        _text(message, "action"),
        _text({"station": station}, "station", empty=True),
        days,
    )


def _decode_link(link: Mapping[str, object]) -> KmeLinkStatus:
    state = next((each for each in LinkState if each == link.get("state")), None)
    if state is None:
        raise BadMessageError("no such state of a link")
    qber = link.get("qber")
    return KmeLinkStatus(
        state,
        _number(qber, "qber") if qber is not None else None,
        _number(link.get("secret_rate"), "secret_rate"),
        _text(link, "alarm", MAX_TEXT, empty=True),
        _text(link, "description", MAX_TEXT, empty=True),
    )


def _whole(message: Mapping[str, object], name: str, low: int, high: int) -> int:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadMessageError(f"{name} is no integer")
    if not low <= value <= high:
        raise BadMessageError(f"{name} is out of range")
    return value


def _pair(message: Mapping[str, object], name: str) -> tuple[int, int]:
    value = message.get(name)
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004  # two halves
        raise BadMessageError(f"{name} is no pair")
    entries = {"0": value[0], "1": value[1]}
    return _whole(entries, "0", 0, MAX_MARK), _whole(entries, "1", 0, MAX_MARK)


def _number(value: object, name: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number:
        raise BadMessageError(f"{name} is no number")
    return float(str(value))


def _text(
    message: Mapping[str, object],
    name: str,
    limit: int = MAX_SAE_ID,
    *,
    empty: bool = False,
) -> str:
    value = message.get(name)
    if not isinstance(value, str) or len(value) > limit or not (value or empty):
        raise BadMessageError(f"{name} is no text")
    if not value.isprintable():
        raise BadMessageError(f"{name} is not printable")
    return value
