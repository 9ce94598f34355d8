"""The journal's text names the tunnel or link that a line is about, once."""

import dataclasses
import logging
import struct
from collections.abc import Iterator
from typing import get_args
from uuid import UUID

import pytest

from gateway.host.journal import JournalHandler
from gateway.host.logging import FIELDS
from gateway.keystore.base import StockStatus
from gateway.observe.journal.listener import log
from gateway.rotation.events import RotationFailed, TunnelEvent
from gateway.supply.alarms import StockAlarm
from tests.unit.daemon.services import LINK, TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import in_force, rotate
from tests.unit.daemon.test_stock_lines import Stock, stock

__all__ = ["stock"]

Pair = tuple[End, End]

FIELD_TYPES: dict[object, object] = {
    "tunnel": TUNNEL,
    "epoch": 7,
    "sources": ("x25519", "qkd"),
    "key_id": UUID(int=1),
    "qkd_age": 0,
    "after": 2.0,
    "reason": "no-answer",
    "detail": "no answer from the peer",
    "attempts": 1,
}
"""A value for each field that an event may have."""


class Journal(JournalHandler):
    """What would go to the journal's socket, of which the kernel queues ten lines."""

    def __init__(self) -> None:
        super().__init__(FIELDS, "/nowhere")
        self._sent: list[bytes] = []

    def _send(self, datagram: bytes) -> bool:
        self._sent.append(datagram)
        return True

    def entries(self) -> list[dict[str, str]]:
        """Return what came since."""
        sent, self._sent = self._sent, []
        return [_decode(datagram) for datagram in sent]


def _decode(data: bytes) -> dict[str, str]:
    """Read an entry in the journal's native protocol."""
    entry = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, is_short, value = line.partition(b"=")
        if not is_short:
            (size,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + size], data[9 + size :]
        entry[name.decode()] = value.decode()
    return entry


@pytest.fixture
def journal() -> Iterator[Journal]:
    made = Journal()
    ours, root = logging.getLogger("gateway"), logging.getLogger()
    level = ours.level
    ours.setLevel(logging.DEBUG)
    root.addHandler(made)
    yield made
    root.removeHandler(made)
    ours.setLevel(level)
    made.close()


def check(entries: list[dict[str, str]]) -> None:
    """Hold that each text names its tunnel, or else its link, and does so once."""
    for entry in entries:
        for field, kind in (("QGW_TUNNEL", "tunnel"), ("QGW_LINK", "link")):
            if field in entry:
                subject = f"{kind} {entry[field]}"
                assert entry["MESSAGE"].count(subject) == 1, entry["MESSAGE"]
                break


@pytest.mark.parametrize(
    "kind",
    [*get_args(TunnelEvent), None],
    ids=lambda kind: getattr(kind, "__name__", ""),
)
def test_every_event_of_a_tunnel_names_it(journal: Journal, kind: type | None) -> None:
    if kind is None:
        log(RotationFailed(TUNNEL, "not-in-force", "no packet came back", 1))
    else:
        values = [FIELD_TYPES[field.name] for field in dataclasses.fields(kind)]
        log(kind(*values))
    (entry,) = journal.entries()
    assert entry["QGW_TUNNEL"] == TUNNEL
    check([entry])


@pytest.mark.parametrize("unconfirmed", [0, 3])
async def test_every_state_of_a_stock_names_its_link(
    journal: Journal, stock: Stock, unconfirmed: int
) -> None:
    stock.now += 1000.0
    said = []
    for alarm, available in (("empty", 0), ("low", 9), ("ok", 99), ("low", 9)):
        status = StockStatus(LINK, available, 0, 0, 0, 0.0, 0.0, None, 0)
        if available:
            status = dataclasses.replace(status, unconfirmed=unconfirmed)
        stock.links._note(LINK, status)
        assert stock.links.alarms[LINK] is StockAlarm(alarm)
        said += journal.entries()
    assert [entry["MESSAGE"].partition(": ")[2][:13] for entry in said] == [
        "stock is empt",
        "stock is low:",
        "stock is ok: ",
        "stock is low:",
    ]
    check(said)


async def test_an_hour_of_a_gateway_names_what_each_line_is_about(
    journal: Journal, file_ends: Pair
) -> None:
    """Started, rotated, out of keys, refused, blocked, down, up and stopped."""
    for end in file_ends:
        end.tunnel_keys[TUNNEL] |= {"max_epoch_lifetime": 120.0}
    for end in reversed(file_ends):
        await end.start_with(range(1, 4))
    await until(lambda: in_force(file_ends), "the tunnel")
    await rotate(file_ends)
    for end in file_ends:
        await end.call("keystore.purge", link=LINK, all=True)
        await end.service.links.refresh(LINK)
    first, second = file_ends
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: first.driver.state.failure is not None, "the failure")
    await first.call("tunnel.down", name=TUNNEL)
    await until(lambda: second.driver.state.rotation.current is None, "the other end")
    for end in file_ends:
        await end.import_keys(range(20, 30))
    await first.call("tunnel.up", name=TUNNEL)
    await until(lambda: in_force(file_ends), "the tunnel again")
    entries = journal.entries()
    check(entries)
    events = {entry.get("QGW_EVENT") for entry in entries}
    assert events >= {
        "up",
        "blocked",
        "committed",
        "failed",
        "stock-low",
        "stock-empty",
    }
    for event, kind in (("up", "tunnel"), ("blocked", "tunnel"), ("stock-low", "link")):
        name = TUNNEL if kind == "tunnel" else LINK
        for entry in entries:
            if entry.get("QGW_EVENT") == event:
                assert entry["MESSAGE"].startswith(f"{kind} {name}: ")
