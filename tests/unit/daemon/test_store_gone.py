"""The key store's file is deleted under a running daemon."""

import logging
from pathlib import Path

import pytest

from tests.unit.daemon.services import End, make_ends, stays, until


@pytest.fixture
def ends(tmp_path: Path) -> list[End]:
    made = make_ends(tmp_path)
    for end in made:
        end.tunnel_keys["paris"]["rotation_interval"] = 2.0
    return made


@pytest.mark.parametrize("which", [0, 1])
async def test_no_key_is_used_any_more(
    ends: list[End], which: int, caplog: pytest.LogCaptureFixture
) -> None:
    for end in reversed(ends):
        await end.start()
    await until(lambda: all(end.in_force() for end in ends), "the first epoch")
    victim = ends[which]
    with caplog.at_level(logging.INFO):
        (victim.folder / "keys.db").unlink()
        consumed = (await victim.stock())["consumed"]
        await until(
            lambda: "keys.db was removed while qgwd had it open" in caplog.text,
            "a line that says so",
            20.0,
        )
        await stays(lambda: True, "time for another rotation", 3.0)
    used = (await victim.stock())["consumed"]
    assert used - consumed <= 1  # one that was under way
    alerts = (await victim.call("status"))["alerts"]
    (alert,) = [each for each in alerts if each["kind"] == "key-store"]
    assert alert["severity"] == "critical"
    assert "restart qgwd" in alert["hint"]
    for end in ends:
        await end.stop()
