"""What goes wrong between the two ends: no key twice, none that the other end lacks."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.kme_pair import KMEPair

from gateway.errors import KeyStoreError
from gateway.kme import peer as peer_module
from gateway.kme.listener import listen
from gateway.kme.marks import DrawnKeys
from gateway.kme.pki import LaboratoryPKI
from gateway.kme.seed import create_seed, write_seed
from gateway.kme.server import KMEServer
from tests.unit.kme.conftest import Call
from tests.unit.kme.sae import SAE


async def start_at(server: KMEServer, url: str) -> None:
    """Start a KME again, at the address it had."""
    host, port = url.removeprefix("https://").split(":")
    await server.start(listen(host, int(port)))


async def test_keys_are_unique_under_load_from_both_ends(
    pair: KMEPair, sae: Call
) -> None:
    alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)

    async def draw_and_fetch(
        master: SAE, other: str, slave: SAE, me: str
    ) -> set[bytes]:
        drawn = (await master.draw(other, 5)).keys
        assert (await slave.fetch(me, *drawn)).keys == drawn
        return set(drawn.values())

    batches = await asyncio.gather(
        *(draw_and_fetch(alice, "gw-b", bob, "gw-a") for _ in range(20)),
        *(draw_and_fetch(bob, "gw-a", alice, "gw-b") for _ in range(20)),
    )
    assert len(set().union(*batches)) == 200
    assert (pair.alice.core.stored, pair.bob.core.stored) == (0, 0)


async def test_the_peer_is_away(tmp_path: Path, pki: LaboratoryPKI, sae: Call) -> None:
    """503 with a message, no key lost, and all is well when it is back."""
    pair = KMEPair(tmp_path / "pair", pki=pki)
    async with pair:
        await pair.make_keys(20)
        alice = sae("gw-a", pair.alice.url)
        url = pair.bob.url
        await pair.bob.stop()
        for _ in range(3):
            answer = await alice.draw("gw-b", 4)
            assert (answer.status, answer.document) == (
                503,
                {"message": "the peer KME is not reachable"},
            )
        assert await pair.make_keys(10) == 0
        status = pair.alice.status()
        assert "not reachable" in str(status["peer_problem"])
        assert status["stored_key_count"] == 10
        await start_at(pair.bob, url)
        assert len((await alice.draw("gw-b", 10)).keys) == 10
        assert await pair.make_keys(10) == 10
        assert pair.alice.status()["peer_problem"] == ""


async def test_a_peer_that_does_not_answer(
    pair: KMEPair, sae: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost, or too late: those keys are passed over, never given."""
    monkeypatch.setattr(peer_module, "TIMEOUT", 0.3)
    expect, noted = pair.bob.core.expect, asyncio.Event()

    async def expect_slowly(drawing: DrawnKeys) -> None:
        await expect(drawing)
        noted.set()
        await asyncio.sleep(1)

    monkeypatch.setattr(pair.bob.core, "expect", expect_slowly)
    alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)
    assert (await alice.draw("gw-b", 4)).status == 503
    assert noted.is_set()
    monkeypatch.undo()
    lost = pair.bob.core.waiting
    assert lost == 4
    drawn = (await alice.draw("gw-b", 4)).keys
    assert (await bob.fetch("gw-a", *drawn)).keys == drawn
    assert pair.alice.core.marks.drawn[0] == 8
    assert pair.bob.core.waiting == lost


async def test_an_old_pool_is_back(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    """Alice's pool of yesterday: what was drawn since is never drawn again."""
    pair = KMEPair(tmp_path / "pair", pki=pki)
    async with pair:
        await pair.make_keys(100)
        alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)
        before = (await alice.draw("gw-b", 5)).keys
        url = pair.alice.url
        await pair.alice.stop()
        pool = pair.alice.settings.pool.parent
        shutil.copytree(pool, tmp_path / "yesterday")
        await start_at(pair.alice, url)
        since = (await alice.draw("gw-b", 20)).keys
        await pair.alice.stop()
        shutil.rmtree(pool)
        shutil.copytree(tmp_path / "yesterday", pool)
        await start_at(pair.alice, url)
        after = (await alice.draw("gw-b", 20)).keys
        assert not after.keys() & (before.keys() | since.keys())
        for drawn in (before, since, after):
            assert (await bob.fetch("gw-a", *drawn)).keys == drawn


async def test_keys_wait_through_a_restart(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    pair = KMEPair(tmp_path / "pair", pki=pki)
    async with pair:
        await pair.make_keys(40)
        drawn = (await sae("gw-a", pair.alice.url).draw("gw-b", 20)).keys
        first, *others = drawn
        bob = sae("gw-b", pair.bob.url)
        assert len((await bob.fetch("gw-a", first)).keys) == 1
        url = pair.bob.url
        await pair.bob.stop()
        await start_at(pair.bob, url)
        assert (await bob.fetch("gw-a", first)).status == 400
        assert len((await bob.fetch("gw-a", *others)).keys) == 19
        assert pair.bob.core.stored == 20


async def test_different_seeds(tmp_path: Path, pki: LaboratoryPKI, sae: Call) -> None:
    """Two KMEs that would give different keys give none, and say why."""
    pair = KMEPair(tmp_path / "pair", pki=pki)
    seed_file = pair.bob.settings.link.seed_file
    seed_file.unlink()
    write_seed(seed_file, create_seed())
    async with pair:
        assert await pair.make_keys(10) == 0
        assert "different seeds" in str(pair.alice.status()["peer_problem"])
        assert (await sae("gw-a", pair.alice.url).draw("gw-b")).status == 503


async def test_the_disk_fails(
    pair: KMEPair,
    sae: Call,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be recorded is not given."""

    def fail(*_: object) -> None:
        raise KeyStoreError("the disk is full", retryable=True)

    alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)
    drawn = (await alice.draw("gw-b", 2)).keys
    failing: list[tuple[KMEServer, str, Callable[[], Awaitable[int]]]] = [
        (pair.alice, "draw", lambda: _status(alice.draw("gw-b"))),
        (pair.bob, "expect", lambda: _status(alice.draw("gw-b"))),
        (pair.bob, "deliver", lambda: _status(bob.fetch("gw-a", *drawn))),
    ]
    for server, method, call in failing:
        with monkeypatch.context() as patched:
            patched.setattr(server.core._pool, method, fail)
            assert await call() == 503
    assert "the disk is full" in caplog.text
    assert (await bob.fetch("gw-a", *drawn)).keys == drawn
    more = (await alice.draw("gw-b", 2)).keys
    assert (await bob.fetch("gw-a", *more)).keys == more


async def _status(answer: Awaitable[object]) -> int:
    return int(getattr(await answer, "status", 0))


async def test_a_peer_with_another_certificate(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    """The other end is held to its host name and to our CA, and so is this one."""
    pair = KMEPair(tmp_path / "pair", pki=pki)
    imposter = pki.authority.issue_kme(
        "kme-bob", ["elsewhere.example"], folder=tmp_path
    )
    async with pair:
        await pair.make_keys(10)
        settings = pair.bob.settings
        await pair.bob.reload(
            replace(
                settings,
                certificate=imposter.certificate,
                private_key=imposter.private_key,
            )
        )
        answer = await sae("gw-a", pair.alice.url).draw("gw-b")
        assert answer.status == 503
        await pair.make_keys(2)
        assert "certificate is refused" in str(pair.alice.status()["peer_problem"])
        await pair.bob.reload(settings)
        assert len((await sae("gw-a", pair.alice.url).draw("gw-b")).keys) == 1
