"""`qgw qkd test` at odd KMEs of two makes: it goes on, warns, repeats their words."""

import pytest

from gateway.kme.misbehaviour.modes import BUSY
from gateway.sources.diagnosis.findings import Grade, Step, TrialFinding
from gateway.sources.diagnosis.trial import diagnose
from tests.unit.sources.odd_kmes import WORDS, OddKME
from tests.unit.sources.test_stock_from_odd_kmes import odd

__all__ = ["odd"]


async def findings(odd: OddKME, *, draw: bool = False) -> list[TrialFinding]:
    """Try the link; TLS has a test of its own."""
    found = [one async for one in diagnose(odd.link, draw=draw)]
    return [one for one in found if one.step is not Step.TLS]


async def test_an_honest_one_is_well(odd: OddKME) -> None:
    await odd.add(10)
    found = await findings(odd, draw=True)
    assert {one.grade for one in found} == {Grade.OK}
    assert found[-1].step is Step.DRAW
    assert odd.left == 9


@pytest.mark.parametrize("draw", [False, True])
async def test_without_a_status_call_it_goes_on(odd: OddKME, *, draw: bool) -> None:
    await odd.add(10)
    odd.tell_no_status()
    found = await findings(odd, draw=draw)
    (warning,) = [one for one in found if one.grade is not Grade.OK]
    assert (warning.grade, warning.step) == (Grade.WARNING, Step.ACCESS)
    assert warning.text.startswith("the KME tells no status that can be used: status: ")
    assert "HTTP 404" in warning.text
    assert (found[-1].step is Step.DRAW) is draw
    assert odd.left == 10 - draw


async def test_a_peer_of_zero_is_a_warning(odd: OddKME) -> None:
    await odd.add(10)
    odd.name_no_peer()
    found = await findings(odd, draw=True)
    (warning,) = [one for one in found if one.grade is not Grade.OK]
    assert warning.grade is Grade.WARNING
    assert "target_KME_ID" in warning.text
    assert found[-1].step is Step.DRAW


@pytest.mark.parametrize("member", ["detail", "error", "problem"])
async def test_its_own_words_are_shown(odd: OddKME, member: str) -> None:
    odd.fail(member)
    found = await findings(odd)
    assert found[-1].grade is Grade.FAILED
    assert found[-1].step is Step.ACCESS
    assert found[-1].text.startswith("status: HTTP 500: ")
    assert any(words in found[-1].text for words in (WORDS, BUSY))


async def test_pages_are_no_kme(odd: OddKME) -> None:
    odd.serve_pages()
    found = await findings(odd)
    assert found[-1].grade is Grade.FAILED
    assert found[-1].text.startswith("status: ")
