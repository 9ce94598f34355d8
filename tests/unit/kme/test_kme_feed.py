"""From blocks of the link to keys in both pools."""

from pathlib import Path

import pytest
from doubles.kme_pair import KMEPair

from gateway.errors import KMEError
from gateway.kme.constant import MAX_CATCH_UP, ConstantLink
from gateway.kme.link import Block, LinkState
from gateway.kme.models import MODELS, make_model, parameters_of
from gateway.kme.physics.parameters import FibreParameters
from gateway.kme.pki import LaboratoryPKI
from gateway.kme.settings import End, LinkSettings
from tests.unit.kme.conftest import Call


class Scripted(ConstantLink):
    """Gives the blocks that a test puts in."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.blocks: list[Block] = []

    def blocks_due(self, now: float) -> list[Block]:
        due, self.blocks = self.blocks, []
        return due


async def step(pair: KMEPair, link: Scripted, now: float, *bits: int) -> None:
    link.blocks = [Block(each, 0.02, now) for each in bits]
    await pair.alice.feed.step(now)


def stocks(pair: KMEPair) -> tuple[int, int]:
    return pair.alice.core.stored, pair.bob.core.stored


async def test_blocks_become_keys(tmp_path: Path, pki: LaboratoryPKI) -> None:
    """Bits that make no whole key are kept for the next."""
    link = Scripted()
    async with KMEPair(tmp_path / "p", pki=pki, model=link) as pair:
        before = 1e9  # the feed's own clock is far behind
        await step(pair, link, before, 255)
        assert stocks(pair) == (0, 0)
        await step(pair, link, before, 1)
        assert stocks(pair) == (1, 0)
        await step(pair, link, before, 256 * 3, 256 * 2, 0)
        assert sum(stocks(pair)) == 6
        await step(pair, link, before, 256 * 100)
        assert sum(stocks(pair)) == 106
        assert abs(stocks(pair)[0] - stocks(pair)[1]) <= 2
        assert pair.alice.core.marks == pair.bob.core.marks


async def test_a_full_half_leaves_its_share_to_the_other(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    async with KMEPair(tmp_path / "p", pki=pki, max_key_count=10) as pair:
        assert await pair.make_keys(8) == 8
        assert stocks(pair) == (4, 4)
        await sae("gw-a", pair.alice.url).draw("gw-b", 4)
        assert await pair.make_keys(12) == 12
        assert stocks(pair) == (6, 10)
        assert await pair.make_keys(100) == 4
        assert stocks(pair) == (10, 10)
        status = await sae("gw-b", pair.bob.url).get("gw-a", "status")
        assert status.document["stored_key_count"] == 10
        assert status.document["max_key_count"] == 10


async def test_the_link_is_switched_from_both_ends(
    tmp_path: Path, pki: LaboratoryPKI
) -> None:
    link = ConstantLink(256_000.0)
    async with KMEPair(tmp_path / "p", pki=pki, model=link) as pair:
        for server, action, state in (
            (pair.alice, "eavesdrop-on", LinkState.EAVESDROPPED),
            (pair.bob, "down", LinkState.DOWN),
            (pair.alice, "up", LinkState.EAVESDROPPED),
            (pair.bob, "eavesdrop-off", LinkState.UP),
        ):
            await server.switch_link(action)
            assert link.status().state is state
            await pair.make_keys(0)
            for each in (pair.alice, pair.bob):
                shown = each.core.link_status
                assert shown is not None
                assert shown.state is state
        with pytest.raises(KMEError, match="no such switch"):
            await pair.alice.switch_link("explode")
        await pair.alice.stop()
        with pytest.raises(KMEError, match="runs at the other end"):
            await pair.bob.switch_link("down")


def test_the_constant_link_keeps_its_rate() -> None:
    link = ConstantLink(1000.0)
    assert link.blocks_due(5.0) == []
    total = sum(
        block.secret_bits
        for tick in range(1, 1001)
        for block in link.blocks_due(5.0 + tick / 20)
    )
    assert total == pytest.approx(50_000, abs=200)
    (after_sleep,) = link.blocks_due(1e6)
    assert after_sleep.secret_bits <= 1000 * MAX_CATCH_UP + 200


def test_the_constant_link_shows_its_troubles() -> None:
    link = ConstantLink(1000.0)
    link.blocks_due(0.0)
    link.eavesdrop(True)
    (block,) = link.blocks_due(1.0)
    assert (block.secret_bits, block.qber) == (0, 0.25)
    assert link.status().secret_rate == 0.0
    assert "someone listens" in link.status().alarm
    link.down()
    assert link.blocks_due(2.0) == []
    link.up()
    link.eavesdrop(False)
    (block,) = link.blocks_due(3.0)
    assert block.secret_bits == 1000


def settings(model: str, **parameters: float | str) -> LinkSettings:
    return LinkSettings(End.ALICE, Path("seed"), model, parameters)


def test_models_are_made_by_name() -> None:
    for name in MODELS:
        model = make_model(settings(name))
        assert model.status().state is LinkState.UP
        assert parameters_of(name)
    assert make_model(settings("constant", rate=7.0)).status().secret_rate == 7.0
    long = make_model(settings("fibre", length_km=100.0, block_size=1_000_000.0))
    assert "100 km" in long.status().description


def test_wrong_models_are_refused() -> None:
    for wrong in (settings("carrier pigeon"), settings("fibre", length_km=9e9)):
        with pytest.raises(KMEError):
            make_model(wrong)
    with pytest.raises(KMEError):
        make_model(settings("fibre", time_scale=-1.0))
    with pytest.raises(KMEError):
        make_model(settings("fibre", preset="none such"))


async def test_the_fibre_fills_both_pools(tmp_path: Path, pki: LaboratoryPKI) -> None:
    """80 km at ten thousand times the speed of time: keys at the rate it says."""
    fibre = make_model(settings("fibre", time_scale=10_000.0, synchronisation_time=0.0))
    assert FibreParameters().length_km == 80.0
    async with KMEPair(tmp_path / "p", pki=pki, model=fibre) as pair:
        feed = pair.alice.feed
        begin = 1e6
        fibre.blocks_due(begin)
        rate = fibre.status().secret_rate
        await feed.step(begin + 1.0)
        keys = sum(stocks(pair))
        assert keys == pytest.approx(rate / 256, rel=0.25)
        await pair.bob.switch_link("eavesdrop-on")
        await feed.step(begin + 2.0)
        before = sum(stocks(pair))
        await feed.step(begin + 3.0)
        assert sum(stocks(pair)) == before
        shown = pair.bob.core.link_status
        assert shown is not None
        assert shown.alarm
