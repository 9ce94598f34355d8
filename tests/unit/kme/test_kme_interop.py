"""Other people's ETSI GS QKD 014 clients against our KME pair.

`qkdsec doctor` probes a KME for conformance; `etsi-qkd-014-client` fetches keys. Both
are synchronous, so that they run beside the KMEs' event loop.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import pytest
from doubles.kme_pair import KMEPair
from etsi_qkd_014_client import QKD014Client
from qkdsec.client import ETSI014Client
from qkdsec.doctor import ProbeStatus, run_all

from gateway.kme.server import KMEServer

pytestmark = pytest.mark.interop

CONTRADICTING = {
    # Table 8 of 5.4: an SAE not named as slave gets 401. The probe draws a key for the
    # slave, and asks for it as the master, at the master's own KME.
    "dec_keys_roundtrip": "HTTP 401",
    # Table 8 of 5.4: 400, "one or more keys specified are not found on KME". The
    # standard has no 404.
    "error_contract_404": "HTTP 400",
}
"""Probes that contradict the standard, and what ours rightly answers."""

ALL_PROBES = {
    "reachability",
    "status_fields",
    "enc_keys_get",
    "enc_keys_post",
    "enc_keys_caps",
    "extensions_accepted",
    "error_contract_400",
    "latency",
    *CONTRADICTING,
}


class TwoEnded(ETSI014Client):  # type: ignore[misc]  # has no types
    """The doctor's client with its slave where a slave is: at the other KME."""

    def __init__(self, pair: KMEPair) -> None:
        super().__init__(pair.alice.url, **_qkdsec_options(pair, "gw-a"))
        self._slave = ETSI014Client(pair.bob.url, **_qkdsec_options(pair, "gw-b"))

    def get_dec_keys(self, _slave_sae_id: str, **options: object) -> object:
        return self._slave.get_dec_keys("gw-a", **options)

    def close(self) -> None:
        super().close()
        self._slave.close()


def _qkdsec_options(pair: KMEPair, sae_id: str) -> dict[str, object]:
    files = pair.credentials[sae_id]
    return {
        "client_cert": (str(files.certificate), str(files.private_key)),
        "verify": str(files.ca),
        "timeout": 10.0,
    }


async def test_the_doctor_finds_nothing_that_the_standard_would(pair: KMEPair) -> None:
    """The command as its users run it."""
    files = pair.credentials["gw-a"]
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "qkdsec",
        "doctor",
        pair.alice.url,
        "--slave-sae-id=gw-b",
        f"--cert={files.certificate}",
        f"--key={files.private_key}",
        f"--ca-cert={files.ca}",
        "--format=json",
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    results = {each["name"]: each for each in json.loads(printed)["results"]}
    assert results.keys() == ALL_PROBES
    for name, result in results.items():
        if name in CONTRADICTING:
            assert result["status"] in {"fail", "warn"}
            assert CONTRADICTING[name] in result["summary"]
        else:
            assert result["status"] == "pass", result


async def test_the_doctor_with_a_slave_at_the_other_end(pair: KMEPair) -> None:
    """Then the round trip is the standard's own, and passes as well."""
    client = TwoEnded(pair)
    report = await asyncio.to_thread(run_all, client, "gw-b")
    client.close()
    refused = {each.name for each in report.results if each.status != ProbeStatus.PASS}
    assert refused == {"error_contract_404"}
    assert report.passed


def _etsi_client(pair: KMEPair, server: KMEServer, sae_id: str) -> QKD014Client:
    files = pair.credentials[sae_id]
    return QKD014Client(
        server.url.removeprefix("https://"),
        str(files.certificate),
        str(files.private_key),
        str(files.ca),
    )


async def test_etsi_qkd_014_client_gets_the_same_keys_at_both_ends(
    pair: KMEPair,
) -> None:
    alice = _etsi_client(pair, pair.alice, "gw-a")
    bob = _etsi_client(pair, pair.bob, "gw-b")
    code, status = await asyncio.to_thread(alice.get_status, "gw-b")
    assert code == 200
    assert (status.key_size, status.max_sae_id_count) == (256, 0)
    key_ids: list[str] = []
    for options in ({}, {"number": 5, "size": 512}):
        code, drawn = await asyncio.to_thread(alice.get_key, "gw-b", **options)
        assert code == 200
        key_ids = [each.key_id for each in drawn.keys]
        code, fetched = await asyncio.to_thread(
            bob.get_key_with_key_IDs, "gw-a", key_ids
        )
        assert code == 200
        assert {e.key_id: e.key for e in fetched.keys} == {
            e.key_id: e.key for e in drawn.keys
        }
        sizes = {len(base64.b64decode(each.key)) * 8 for each in drawn.keys}
        assert sizes == {options.get("size", 256)}
    code, error = await asyncio.to_thread(bob.get_key_with_key_IDs, "gw-a", key_ids)
    assert code == 400
    assert error.message == "one or more keys specified are not found on KME"
