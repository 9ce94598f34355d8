"""Whom a KME's certificate names, and what group its handshake agrees on."""

import base64
import hashlib
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.model import KMEConfig, LinkConfig
from gateway.errors import SourceFault
from gateway.sources.diagnosis.findings import Grade, Step
from gateway.sources.diagnosis.trial import diagnose
from gateway.sources.http.certificates import is_ml_dsa, load_client_certificate
from gateway.sources.http.tls import load_tls
from gateway.sources.http.tls_session import group_in, is_quantum_safe, names_in
from gateway.sources.http.trouble import Trouble
from tests.unit.sources.certificates import write_private
from tests.unit.sources.conftest import MakeClient, MakeLink
from tests.unit.sources.hostile import HostileKME
from tests.unit.sources.leaks import failure_of

SERVER_HELLO = 2
SERVER_KEY_EXCHANGE = 12


@pytest.mark.parametrize("kme_ids", [("kme",), ("other", "kme"), ("localhost",)])
async def test_a_kme_that_its_certificate_names(
    kme: HostileKME, make: MakeClient, kme_ids: tuple[str, ...]
) -> None:
    client = make(kme, kme_ids=kme_ids)
    assert len((await client.get_keys(1)).keys) == 1
    assert (
        f"calls itself kme-redu, kme_id says {', '.join(kme_ids)}"
        in (await client.get_status()).notes
    )


async def test_another_kme_is_asked_for_nothing(
    kme: HostileKME, make: MakeClient, make_link: MakeLink
) -> None:
    """The CA and the host's name are right: only the handshake is made."""
    error = await failure_of(make(kme, kme_ids=("kme-redu",)).get_keys(1))
    assert error.fault is SourceFault.CERTIFICATE
    assert "names another KME than kme_id" in error.message
    assert not kme.asked
    found = [one async for one in diagnose(make_link(kme, kme_ids=("kme-redu",)))]
    assert (found[-1].step, found[-1].grade) == (Step.CERTIFICATE, Grade.FAILED)
    assert "subject CN=kme" in found[-1].text


async def test_a_status_that_fits_is_no_note(kme: HostileKME, make: MakeClient) -> None:
    kme.status = {"source_KME_ID": "kme"}
    assert (await make(kme, kme_ids=("kme",)).get_status()).notes == ()


def test_names_of_a_certificate() -> None:
    certificate = {
        "subject": ((("commonName", "kme-a"),), (("organizationName", "x"),)),
        "subjectAltName": (("DNS", "d"), ("URI", "u"), ("IP Address", "127.0.0.1")),
    }
    assert names_in(certificate) == ("kme-a", "d", "u")
    assert names_in(None) == ()


async def test_the_group_is_what_the_handshake_agreed_on(
    kme: HostileKME, make: MakeClient
) -> None:
    group = (await make(kme).get_status()).tls_group
    newest = ssl.OPENSSL_VERSION_INFO >= (3, 5)
    assert group == ("X25519MLKEM768" if newest else "x25519")
    assert is_quantum_safe(group) is newest


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_a_classical_group_is_told_and_explained(
    make_link: MakeLink, kme: HostileKME, version: str
) -> None:
    assert kme.context is not None
    kme.context.maximum_version = ssl.TLSVersion[version]
    kme.context.set_ecdh_curve("prime256v1")
    found = [one async for one in diagnose(make_link(kme))]
    (exchange,) = [one for one in found if one.text.startswith("key exchange")]
    assert exchange.text.startswith("key exchange secp256r1, which is classical: ")
    assert "quantum computer later" in exchange.text
    assert exchange.grade is Grade.WARNING
    assert "X25519MLKEM768" in exchange.hint


async def test_a_quantum_safe_group_is_no_warning(
    make_link: MakeLink, kme: HostileKME
) -> None:
    found = [one async for one in diagnose(make_link(kme))]
    (exchange,) = [one for one in found if one.text.startswith("key exchange")]
    newest = ssl.OPENSSL_VERSION_INFO >= (3, 5)
    assert exchange.grade is (Grade.OK if newest else Grade.WARNING)
    assert bool(exchange.hint) is not newest


@given(st.sampled_from([SERVER_HELLO, SERVER_KEY_EXCHANGE, 1]), st.binary(max_size=200))
def test_no_message_breaks_the_reading(kind: int, message: bytes) -> None:
    group_in(kind, message)


def test_a_group_without_name_is_told_by_number() -> None:
    assert group_in(SERVER_KEY_EXCHANGE, bytes(4) + b"\x03\x12\x34") == "group 0x1234"


VECTORS = Path(__file__).parents[2] / "vectors" / "tls"
SEED = bytes(range(32))
"""Of RFC 9881's example keys, and of the one that OpenSSL 3.5 has written there."""


def ml_dsa_link(link: LinkConfig, folder: Path, *, whole: bool) -> KMEConfig:
    """Give a link the certificate and key of ML-DSA-65 that OpenSSL 3.5 has made.

    The key is as it writes it, seed and expanded key, or the seed alone.
    """
    certificate, private = VECTORS / "ml-dsa-65.pem", folder / "our.key"
    pem = (VECTORS / "ml-dsa-65.key").read_bytes()
    if not whole:
        pem = mldsa.MLDSA65PrivateKey.from_seed_bytes(SEED).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    write_private(private, pem)
    assert link.kme is not None
    return replace(link.kme, certificate=certificate, private_key=private)


def test_the_key_that_openssl_made_is_whole() -> None:
    """It is the seed's, by an implementation of its own (FIPS 204, algorithm 24)."""
    text = (VECTORS / "ml-dsa-65.key").read_text().splitlines()
    der = base64.b64decode("".join(text[1:-1]))
    public = mldsa.MLDSA65PrivateKey.from_seed_bytes(SEED).public_key()
    raw = public.public_bytes_raw()
    expanded = der[-4032:]
    assert der[-4032 - 4 - 34 :][:34] == b"\x04\x20" + SEED
    assert expanded[:32] == raw[:32]
    assert expanded[64:128] == hashlib.shake_256(raw).digest(64)
    made = x509.load_pem_x509_certificate((VECTORS / "ml-dsa-65.pem").read_bytes())
    assert made.public_key() == public


@pytest.mark.parametrize("whole", [False, True])
def test_a_key_of_ml_dsa_is_left_to_openssl(
    make_link: MakeLink, tmp_path: Path, *, whole: bool
) -> None:
    """Either form is taken; an OpenSSL that is too old for ML-DSA is named."""
    config = ml_dsa_link(make_link("https://kme.invalid"), tmp_path, whole=whole)
    assert config.certificate is not None
    assert config.private_key is not None
    ours = load_client_certificate(config.certificate, config.private_key)
    assert is_ml_dsa(ours.certificate)
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        with pytest.raises(Trouble) as caught:
            load_tls(config)
        assert caught.value.fault is SourceFault.CREDENTIALS
        assert "ML-DSA needs OpenSSL 3.5; this Python has" in caught.value.hint
    else:
        assert load_tls(config).certificate == ours.certificate
