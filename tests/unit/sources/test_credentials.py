"""Certificates renewed while running, and warnings before they end."""

import asyncio
import logging
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.config.model import KMEConfig
from gateway.sources.http.credentials import RECHECK, Credentials
from tests.unit.sources.certificates import Authority, Files
from tests.unit.sources.conftest import OURS, MakeClient
from tests.unit.sources.hostile import Asked, HostileKME


class Clock:
    """Time by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wall = datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def wall_clock(self) -> datetime:
        """Date and time."""
        return self.wall


class Setting:
    """A link's files, and the credentials made of them."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.clock = Clock()
        self.authority = authority
        self.certificate = folder / "our.pem"
        self.private_key = folder / "our.key"
        self.renew("first", timedelta(365))
        config = KMEConfig(
            ("https://127.0.0.1:1",),
            OURS,
            "peer",
            authority.ca,
            self.certificate,
            self.private_key,
        )
        self.credentials = Credentials(
            "redu", config, self.clock.monotonic, self.clock.wall_clock
        )

    def renew(self, stem: str, end: timedelta) -> None:
        """Put other files in place, as a renewal does."""
        files = self.authority.client(OURS, stem=stem, end=end)
        self.put(files.certificate, self.certificate)
        self.put(files.private_key, self.private_key)

    def put(self, source: Path, place: Path) -> None:
        """Put one file in place."""
        fresh = place.with_suffix(".new")
        shutil.copy(source, fresh)
        fresh.replace(place)

    async def later(self, seconds: float = RECHECK) -> object:
        """Pass time, and take the TLS context."""
        self.clock.now += seconds
        return (await self.credentials.current()).context


@pytest.fixture
def setting(tmp_path: Path, authority: Authority) -> Setting:
    return Setting(tmp_path, authority)


async def test_context_is_kept_while_files_are(setting: Setting) -> None:
    assert setting.credentials.expires is None
    first = await setting.later()
    assert await setting.later() is first
    assert await setting.later(3600) is first
    assert setting.credentials.expires is not None


async def test_renewed_files_make_a_new_context(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = await setting.later()
    before = setting.credentials.expires
    setting.renew("second", timedelta(700))
    assert await setting.later(0) is first
    assert await setting.later() is not first
    assert setting.credentials.expires != before
    assert "certificate files were renewed" in caplog.text


async def test_half_a_renewal_leaves_the_old_in_use(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    first = await setting.later()
    new = setting.authority.client(OURS, stem="third")
    setting.put(new.certificate, setting.certificate)
    for _ in range(3):
        assert await setting.later() is first
    assert caplog.text.count("the old ones stay in use") == 1
    assert "is not the private key of" in caplog.text
    setting.put(new.private_key, setting.private_key)
    assert await setting.later() is not first


async def test_files_that_go_away_leave_the_old_in_use(setting: Setting) -> None:
    first = await setting.later()
    setting.certificate.unlink()
    assert await setting.later() is first


async def test_key_opened_to_its_reader_at_last_is_read(setting: Setting) -> None:
    first = await setting.later()
    setting.renew("fourth", timedelta(365))
    setting.private_key.chmod(0o644)
    assert await setting.later() is first
    setting.private_key.chmod(0o600)
    assert await setting.later() is not first


async def test_warnings_before_the_end(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """One for each step, however often is looked."""

    async def warnings_with(days: float) -> list[str]:
        assert setting.credentials.expires is not None
        setting.clock.wall = setting.credentials.expires - timedelta(days=days)
        caplog.clear()
        for _ in range(3):
            await setting.later()
        assert all(r.levelno == logging.WARNING for r in caplog.records)
        return [record.getMessage() for record in caplog.records]

    await setting.later()
    assert await warnings_with(31) == []
    (text,) = await warnings_with(29)
    assert text.startswith("link redu: our certificate for the KMEs expires on 20")
    assert await warnings_with(8) == []
    assert len(await warnings_with(6)) == 1
    assert await warnings_with(1) == []
    (text,) = await warnings_with(-1)
    assert "expired on" in text
    assert await warnings_with(-100) == []
    setting.renew("fifth", timedelta(700))
    await setting.later()
    assert await warnings_with(100) == []
    assert len(await warnings_with(20)) == 1


async def test_renewed_certificate_is_shown_to_the_kme(
    kme: HostileKME,
    make: MakeClient,
    tmp_path: Path,
    authority: Authority,
    client_files: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """New connections use it, and the old ones are not used any more."""
    monkeypatch.setattr("gateway.sources.http.credentials.RECHECK", 0.0)
    setting = Setting(tmp_path, authority)
    client = make(kme, certificate=setting.certificate, private_key=setting.private_key)
    before = (await client.get_status()).certificate_expires
    await client.get_status()
    assert kme.connections == 1
    setting.renew("sixth", timedelta(500))
    after = (await client.get_status()).certificate_expires
    assert kme.connections == 2
    assert before is not None
    assert after is not None
    assert after - before > timedelta(100)


async def test_a_renewal_ends_the_connections_made_before(
    kme: HostileKME, make: MakeClient, setting: Setting
) -> None:
    """An idle one at once; one at work after its answer, which may hold keys."""
    asked_it, released = asyncio.Event(), asyncio.Event()

    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> None:
        asked_it.set()
        await released.wait()
        writer.write(kme.good_answer(asked))

    client = make(kme, certificate=setting.certificate, private_key=setting.private_key)
    await client.get_status()
    kme.replies["enc_keys"] = [slowly]
    waiting = asyncio.create_task(client.get_keys(2))
    await asked_it.wait()
    setting.renew("second", timedelta(300))
    await asyncio.sleep(RECHECK * 1.1)
    await client.get_status()
    assert kme.connections == 2
    released.set()
    assert len((await waiting).keys) == 2
    for _ in range(500):
        if len(kme._writers) == 1:
            break
        await asyncio.sleep(0.01)
    assert len(kme._writers) == 1
    await client.get_status()
    assert kme.connections == 2
