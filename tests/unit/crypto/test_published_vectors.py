"""Our own functions against published vectors."""

import hmac
from itertools import islice
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.crypto.aead import open_sealed, seal
from gateway.crypto.ecdh import P384, X25519
from gateway.crypto.kdf import HASH_SIZE, MAC_SIZE, derive, expand, hash_parts, mac
from gateway.errors import CryptoError
from tests.unit.crypto.published import (
    LIBOQS_MARKS,
    PROVIDERS,
    bundled,
    load_kem,
    wycheproof,
)

Case = dict[str, Any]
SIZES = [768, 1024]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


# -- X25519 (RFC 7748)


@pytest.mark.parametrize("case", wycheproof("x25519"))
def test_x25519(case: Case) -> None:
    """Zero results are refused (RFC 7748, 6.1); twists and odd encodings are not."""
    key = X25519().load_private(unhex(case["private"]))
    if "ZeroSharedSecret" in case["flags"]:
        with pytest.raises(CryptoError):
            key.exchange(unhex(case["public"]))
    else:
        assert key.exchange(unhex(case["public"])).hex() == case["shared"]


@pytest.mark.parametrize("case", list(bundled("asymmetric/X25519/rfc7748.txt")))
def test_x25519_of_rfc7748(case: dict[str, str]) -> None:
    key = X25519().load_private(unhex(case["input_scalar"]))
    assert key.exchange(unhex(case["input_u"])).hex() == case["output_u"]


# -- P-384


def p384_seed(scalar: str) -> bytes:
    """Return the seed that `P384.load_private` reduces to this scalar."""
    return (int(scalar, 16) - 1).to_bytes(P384.seed_size)


@pytest.mark.parametrize("case", wycheproof("ecdh_secp384r1_ecpoint"))
def test_p384(case: Case) -> None:
    """Only uncompressed points on the curve are taken."""
    key = P384().load_private(p384_seed(case["private"]))
    public = unhex(case["public"])
    if case["result"] == "valid" and len(public) == P384.public_size:
        assert key.exchange(public).hex() == case["shared"]
    else:
        with pytest.raises(CryptoError):
            key.exchange(public)


@pytest.mark.parametrize("point", ["", "00", "00" * 97, "04" + "00" * 96, "02" * 97])
def test_p384_refuses_what_is_no_point(point: str) -> None:
    with pytest.raises(CryptoError):
        P384().load_private(bytes(56)).exchange(unhex(point))


def test_p384_seed_is_reduced_into_the_group() -> None:
    """FIPS 186-5, A.2.1: c mod (n - 1), plus 1."""
    order = P384._ORDER
    one = P384().load_private(bytes(56))
    assert P384().load_private((order - 1).to_bytes(56)).public == one.public
    last = P384().load_private((order - 2).to_bytes(56))
    assert last.public[1:49] == one.public[1:49]
    assert last.public[49:] != one.public[49:]


# -- HKDF, HMAC, SHA-384


@pytest.mark.parametrize("case", wycheproof("hkdf_sha384"))
def test_hkdf(case: Case) -> None:
    salt, secret = unhex(case["salt"]), unhex(case["ikm"])
    info, size = unhex(case["info"]), int(case["size"])
    if case["result"] == "valid":
        assert derive(salt, secret, info, size).hex() == case["okm"]
    else:
        with pytest.raises(ValueError, match=r"[Cc]annot|larger|length"):
            derive(salt, secret, info, size)


@pytest.mark.parametrize("case", wycheproof("hkdf_sha384")[:20])
def test_expand_is_the_second_half_of_hkdf(case: Case) -> None:
    salt = unhex(case["salt"]) or bytes(HASH_SIZE)
    pseudo_random_key = hmac.digest(salt, unhex(case["ikm"]), "sha384")
    made = expand(pseudo_random_key, unhex(case["info"]), case["size"])
    assert made.hex() == case["okm"]


@pytest.mark.parametrize("case", list(bundled("HMAC/rfc-4231-sha384.txt", "len")))
def test_mac_of_rfc4231(case: dict[str, str]) -> None:
    made = mac(unhex(case["key"]), unhex(case["msg"]))
    assert made == unhex(case["md"])[:MAC_SIZE]


def test_hash_of_parts_is_the_hash_of_the_whole() -> None:
    """FIPS 180-4's example for SHA-384."""
    expected = (
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"
        "1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    )
    assert hash_parts(b"abc").hex() == expected
    assert hash_parts(b"a", b"", b"bc").hex() == expected


# -- AES-256-GCM

GCM = [
    # McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 and 14:
    # the two whose nonce is one of ours.
    ("", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    (
        "00" * 16,
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
]


@pytest.mark.parametrize(("plain", "cipher", "tag"), GCM)
def test_aead(plain: str, cipher: str, tag: str) -> None:
    key = bytes(32)
    sealed = unhex(cipher + tag)
    assert seal(key, 0, unhex(plain), b"") == sealed
    assert open_sealed(key, 0, sealed, b"") == unhex(plain)
    for other in (seal(key, 1, unhex(plain), b""), seal(key, 0, unhex(plain), b"x")):
        assert other != sealed
        with pytest.raises(CryptoError):
            open_sealed(key, 0, other, b"")
    for size in range(len(sealed)):
        with pytest.raises(CryptoError):
            open_sealed(key, 0, sealed[:size], b"")


def test_aead_special_case_of_wycheproof() -> None:
    """aes_gcm_test, tcId 128: the only 256-bit one under a nonce of ours."""
    key = unhex("00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f")
    sealed = unhex("23293e9b07ca7d1b0cae7cc489a973b3" + "ff" * 16)
    assert open_sealed(key, 0, sealed, b"").hex() == "561008fa07a68f5c61285cd013464eaf"


def test_nonce_is_four_zero_bytes_and_the_counter() -> None:
    nonce = bytes.fromhex("00000000" + "0102030405060708")
    assert seal(bytes(32), 0x0102030405060708, b"x", b"y") == AESGCM(bytes(32)).encrypt(
        nonce, b"x", b"y"
    )


# -- ML-KEM (FIPS 203)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("size", SIZES)
def test_mlkem_key_generation(provider: str, size: int) -> None:
    kem = load_kem(provider, size)
    for parameter in wycheproof(f"mlkem_{size}_keygen_seed"):
        (case,) = parameter.values
        assert kem.load_private(unhex(case["seed"])).public.hex() == case["ek"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("size", SIZES)
def test_mlkem_decapsulation(provider: str, size: int) -> None:
    """The first case is one where a comparison with strcmp would go wrong."""
    kem = load_kem(provider, size)
    for parameter in wycheproof(f"mlkem_{size}"):
        (case,) = parameter.values
        seed, ciphertext = unhex(case["seed"]), unhex(case["c"])
        if case["result"] == "valid":
            secret = kem.load_private(seed).decapsulate(ciphertext)
            assert secret.hex() == case["K"]
        else:
            with pytest.raises(CryptoError, match="wrong size"):
                kem.load_private(seed).decapsulate(ciphertext)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("size", SIZES)
def test_mlkem_refuses_public_keys_that_are_none(provider: str, size: int) -> None:
    """Wrong sizes, and coefficients that are not reduced (FIPS 203, 7.2)."""
    kem = load_kem(provider, size)
    for parameter in wycheproof(f"mlkem_{size}_encaps"):
        (case,) = parameter.values
        if case["result"] == "valid":
            # Its randomness cannot be given to a provider; its key must be taken.
            kem.encapsulate(unhex(case["ek"]))
            continue
        with pytest.raises(CryptoError, match="KEM public key"):
            kem.encapsulate(unhex(case["ek"]))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("size", SIZES)
def test_mlkem_known_answers_and_implicit_rejection(provider: str, size: int) -> None:
    """NIST's intermediate values: `ct_n` is a ciphertext that does not decrypt."""
    kem = load_kem(provider, size)
    count = 0
    for record in islice(
        bundled(f"asymmetric/MLKEM/kat_MLKEM_{size}.rsp"), 0, None, 25
    ):
        key = kem.load_private(unhex(record["d"] + record["z"]))
        assert key.public.hex() == record["pk"]
        assert key.decapsulate(unhex(record["ct"])).hex() == record["ss"]
        assert key.decapsulate(unhex(record["ct_n"])).hex() == record["ss_n"]
        count += 1
    assert count == 40


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("size", SIZES)
def test_mlkem_sizes(provider: str, size: int) -> None:
    kem = load_kem(provider, size)
    assert kem.provider == provider
    parameters = kem.parameters
    key = kem.load_private(bytes(64))
    assert len(key.public) == parameters.public_size
    ciphertext, secret = kem.encapsulate(key.public)
    assert len(ciphertext) == parameters.ciphertext_size
    assert len(secret) == 32
    assert key.decapsulate(ciphertext) == secret
    assert kem.encapsulate(key.public)[0] != ciphertext
    for wrong in (0, 1, 63, 65):
        with pytest.raises(CryptoError, match="seed of wrong size"):
            kem.load_private(bytes(wrong))


@pytest.mark.parametrize(
    "providers",
    [
        pytest.param(pair, marks=LIBOQS_MARKS)
        for pair in (("openssl", "liboqs"), ("liboqs", "openssl"))
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_mlkem_providers_understand_each_other(
    providers: tuple[str, str], size: int
) -> None:
    ours, theirs = (load_kem(name, size) for name in providers)
    seed = bytes(range(64))
    ciphertext, secret = theirs.encapsulate(ours.load_private(seed).public)
    assert ours.load_private(seed).decapsulate(ciphertext) == secret
    assert theirs.load_private(seed).decapsulate(ciphertext) == secret
