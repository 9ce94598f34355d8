"""The client and a pair of KMEs: our own, and whichever pair the environment names.

To run it against a vendor's KMEs, set for each end (``A`` and ``B``)::

    QGW_KME_A_URL=https://kme-a.example:443     KMEs, separated by spaces
    QGW_KME_A_CA=/path/ca.pem                   CA of the KME's certificate
    QGW_KME_A_CERTIFICATE=/path/sae-a.pem       the SAE's certificate
    QGW_KME_A_KEY=/path/sae-a.key               its private key, mode 0600
    QGW_KME_A_SAE_ID=sae-a                      the SAE's ID

and the same with ``B``; then::

    pytest -k environment tests/unit/sources/test_interoperability.py

``QGW_KME_PROTOCOL=skip`` runs it over SKIP instead of ETSI GS QKD 014. It draws about
30 keys at each end, which are lost to others. If one certificate may fetch for both
ends, set ``QGW_KME_ANY_SAE=1`` to leave out the test that it may not.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.kme_pair import KMEPair

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from tests.unit.sources import two_kmes
from tests.unit.sources.two_kmes import Ends

NAMES = ("URL", "CA", "CERTIFICATE", "KEY", "SAE_ID")
UNSET = [
    name
    for name in (f"QGW_KME_{end}_{name}" for end in "AB" for name in NAMES)
    if not os.environ.get(name)
]


@pytest.fixture(
    params=[
        "own",
        pytest.param(
            "environment",
            marks=[
                pytest.mark.interop,
                pytest.mark.may_skip("a vendor's KMEs are not everywhere"),
                pytest.mark.skipif(
                    bool(UNSET), reason=f"names no KMEs: {', '.join(UNSET)} not set"
                ),
            ],
        ),
    ]
)
async def ends(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ends]:
    """Both ends of a link, the first of them drawing."""
    if request.param == "environment":
        yield Ends(_from_environment("A", "B"), _from_environment("B", "A"))
        return
    async with KMEPair(tmp_path / "pair", max_key_per_request=16) as pair:
        await pair.make_keys(200)
        yield Ends(_of_pair(pair, "gw-a", "gw-b"), _of_pair(pair, "gw-b", "gw-a"))


def _from_environment(end: str, other: str) -> LinkConfig:
    env = {name: os.environ[f"QGW_KME_{end}_{name}"] for name in NAMES}
    config = KMEConfig(
        tuple(env["URL"].split()),
        env["SAE_ID"],
        os.environ[f"QGW_KME_{other}_SAE_ID"],
        Path(env["CA"]),
        Path(env["CERTIFICATE"]),
        Path(env["KEY"]),
    )
    source = LinkSource(os.environ.get("QGW_KME_PROTOCOL", "etsi014"))
    return LinkConfig("interoperability", source, kme=config)


def _of_pair(pair: KMEPair, sae_id: str, peer: str) -> LinkConfig:
    files = pair.credentials[sae_id]
    url = (pair.alice if sae_id == "gw-a" else pair.bob).url
    config = KMEConfig(
        (url,), sae_id, peer, pair.ca, files.certificate, files.private_key
    )
    return LinkConfig("own-pair", LinkSource.ETSI014, kme=config)


@pytest.mark.parametrize("count", [1, 10])
async def test_keys_are_the_same_at_both_ends(ends: Ends, count: int) -> None:
    await two_kmes.keys_are_the_same_at_both_ends(ends, count)
    await two_kmes.keys_are_the_same_at_both_ends(ends.mirrored, count)


async def test_missing_keys_are_named(ends: Ends) -> None:
    await two_kmes.missing_keys_are_named(ends)


async def test_status_makes_sense(ends: Ends) -> None:
    await two_kmes.status_makes_sense(ends)


async def test_diagnosis_finds_nothing_wrong(ends: Ends) -> None:
    await two_kmes.diagnosis_finds_nothing_wrong(ends)


@pytest.mark.may_skip("some KMEs let one certificate speak for several SAEs")
@pytest.mark.skipif(
    os.environ.get("QGW_KME_ANY_SAE") == "1", reason="QGW_KME_ANY_SAE says so"
)
async def test_another_sae_is_refused(ends: Ends) -> None:
    await two_kmes.another_sae_is_refused(ends)
