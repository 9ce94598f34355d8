"""Both ends brought back from the same past: neither can be told by the other.

Each tells its operator before the first key is used, with what to do at both ends.
"""

import logging
import shutil
from collections.abc import Callable

import pytest

from gateway.keystore import past
from tests.unit.daemon.services import LINK, TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import in_force, rotate

Pair = tuple[End, End]

DATABASE = ("keys.db", "keys.db-wal", "keys.db-shm")


def keep(end: End) -> None:
    """Put a copy of a stopped end's store aside, as a backup does."""
    for name in DATABASE:
        if (end.folder / name).exists():
            shutil.copy2(end.folder / name, end.folder / f"{name}.kept")


def bring_back_as_new_files(end: End) -> None:
    """Restore as tar, rsync and cp do."""
    for name in DATABASE:
        (end.folder / name).unlink(missing_ok=True)
        if (end.folder / f"{name}.kept").exists():
            shutil.copy2(end.folder / f"{name}.kept", end.folder / name)


def bring_back_in_place(end: End) -> None:
    """Restore as a snapshot of the volume does."""
    for name in DATABASE:
        kept = end.folder / f"{name}.kept"
        if kept.exists():
            (end.folder / name).write_bytes(kept.read_bytes())
        else:
            (end.folder / name).unlink(missing_ok=True)


async def use(ends: Pair, epochs: int) -> list[str]:
    """Start both, make some epochs, stop both; return their keys."""
    for end in reversed(ends):
        await end.start()
    await until(lambda: in_force(ends), "the tunnel")
    keys = [str((await ends[0].status())["key_id"])]
    for _ in range(epochs - 1):
        await rotate(ends)
        keys.append(str((await ends[0].status())["key_id"]))
    return keys


async def stop(ends: Pair) -> None:
    for end in ends:
        await end.stop()


@pytest.mark.parametrize(
    ("bring_back", "quiet", "told", "is_alert"),
    [
        (bring_back_as_new_files, past.QUIET, "the key store is a copy: ", True),
        (bring_back_in_place, -1.0, "the key store was last written ", False),
    ],
)
async def test_each_tells_its_operator_before_a_key_is_used(
    file_ends: Pair,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    bring_back: Callable[[End], None],
    quiet: float,
    told: str,
    is_alert: bool,
) -> None:
    for end in reversed(file_ends):
        await end.start_with(range(1, 9))
    await until(lambda: in_force(file_ends), "the tunnel")
    await stop(file_ends)
    for end in file_ends:
        keep(end)
    first = await use(file_ends, 3)
    assert not [one for one in caplog.messages if told in one]
    await stop(file_ends)
    for end in file_ends:
        bring_back(end)
    monkeypatch.setattr(past, "QUIET", quiet)
    caplog.clear()
    caplog.set_level(logging.INFO, "gateway")
    again = await use(file_ends, 3)
    # The truth of it: nothing on either host knows that these were used.
    assert set(first) & set(again)
    lines = [record for record in caplog.records if told in record.getMessage()]
    assert [record.levelname for record in lines] == ["WARNING"] * 2
    for record in lines:
        assert "qgw keystore purge --link NAME --all at both ends" in record.message
    used = next(
        number
        for number, record in enumerate(caplog.records)
        if getattr(record, "event", "") == "committed"
    )
    assert all(caplog.records.index(record) < used for record in lines)
    for end in file_ends:
        texts = [alert["text"] for alert in (await end.call("status"))["alerts"]]
        assert any(told in text for text in texts) is is_alert
    # And the cure is what the line says.
    for end in file_ends:
        await end.call("keystore.purge", link=LINK, all=True)
        await end.import_keys(range(100, 104))
    await rotate(file_ends)
    assert (await file_ends[0].status(TUNNEL))["key_id"] not in {*first, *again}
