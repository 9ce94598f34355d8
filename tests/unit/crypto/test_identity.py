"""Identity files: whole or refused, and never telling a secret."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto.identity import (
    MAX_TEXT_SIZE,
    PrivateIdentity,
    encode_private,
    encode_public,
    format_fingerprint,
    generate_identity,
    parse_fingerprint,
    parse_private,
    parse_public,
)
from gateway.crypto.kdf import hash_parts
from gateway.errors import CryptoError, GatewayError, IdentityError
from tests.unit.handshake.pair import identity

SUITES = [1, 2]


@pytest.mark.parametrize("suite_id", SUITES)
def test_files_give_back_what_was_written(suite_id: int) -> None:
    made = generate_identity(suite_id)
    public = parse_public(encode_public(made.public, "Paris,  north\nroof"))
    assert public == made.public
    assert "Comment: Paris, north roof\n" in encode_public(
        made.public, "Paris,\nnorth roof"
    )
    private = parse_private(encode_private(made))
    assert private.public == made.public
    assert private.seeds() == made.seeds()
    assert made.public != generate_identity(suite_id).public


@pytest.mark.parametrize("suite_id", SUITES)
def test_sizes_are_those_of_the_specification(suite_id: int) -> None:
    sizes = {1: (1217, 97), 2: (1666, 121)}[suite_id]
    made = identity("responder", suite_id)
    for text, size in zip(
        (encode_public(made.public), encode_private(made)), sizes, strict=True
    ):
        body = text.split("\n\n")[1].rsplit("\n-----", 1)[0]
        assert len(base64.b64decode(body)) == size + 8
        assert len(text) < MAX_TEXT_SIZE
        assert max(map(len, text.splitlines())) <= 64


def test_fingerprint_is_as_specified() -> None:
    public = identity("responder").public
    data = b"qgw-1 fingerprint\x01" + public.ecdh + public.kem
    assert public.fingerprint == hash_parts(data)[:25]
    text = format_fingerprint(public.fingerprint)
    assert len(text) == 47
    assert [len(group) for group in text.split("-")] == [5] * 8
    assert parse_fingerprint(text) == public.fingerprint
    assert parse_fingerprint(" " + text.upper().replace("-", "") + "\n") == (
        public.fingerprint
    )


@given(st.binary(min_size=25, max_size=25))
def test_every_fingerprint_can_be_read_back(raw: bytes) -> None:
    assert parse_fingerprint(format_fingerprint(raw)) == raw


@pytest.mark.parametrize("text", ["", "abcde", "a" * 39, "a" * 41, "1" * 40, "ä" * 40])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(IdentityError):
        parse_fingerprint(text)


@pytest.mark.parametrize("suite_id", SUITES)
@pytest.mark.parametrize("private", [True, False])
def test_every_truncation_is_refused(suite_id: int, private: bool) -> None:
    made = identity("responder", suite_id)
    text = encode_private(made) if private else encode_public(made.public)
    parse = parse_private if private else parse_public
    for size in range(len(text) - 1):
        with pytest.raises(IdentityError):
            parse(text[:size])


@pytest.mark.parametrize("private", [True, False])
def test_every_changed_character_is_refused(private: bool) -> None:
    made = identity("responder")
    text = encode_private(made) if private else encode_public(made.public)
    parse = parse_private if private else parse_public
    for place in range(len(text) - 1):
        other = "A" if text[place] != "A" else "z"
        with pytest.raises(IdentityError):
            parse(text[:place] + other + text[place + 1 :])


def test_kinds_are_not_taken_for_each_other() -> None:
    made = identity("responder")
    with pytest.raises(IdentityError, match="this is a qgw private identity"):
        parse_public(encode_private(made))
    with pytest.raises(IdentityError, match="this is a qgw public identity"):
        parse_private(encode_public(made.public))


def test_no_error_carries_private_text() -> None:
    """Not the message, and not an exception below it, whose repr shows its input."""
    made = identity("responder")
    text = encode_private(made)
    body = text.split("\n\n")[1].splitlines()[0]
    for broken in (
        text.replace(body, body[:-1] + "!"),
        text.replace(body, body[1:]),
        text.replace(body, "é" + body),
        text.replace("Fingerprint", "Fingerprnt"),
    ):
        with pytest.raises(IdentityError) as caught:
            parse_private(broken)
        error: BaseException | None = caught.value
        while error is not None:
            assert body[:20] not in f"{error!r}{error.args}{vars(error)}"
            error = error.__cause__
    assert "expose" not in repr(made)
    assert made.seeds().hex()[:16] not in repr(made)


def armoured(kind: str, raw: bytes) -> str:
    """Return a file with any content and a right checksum."""
    body = base64.b64encode(raw + hash_parts(kind.encode(), raw)[:8]).decode()
    return f"-----BEGIN {kind}-----\n\n{body}\n-----END {kind}-----\n"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "unknown suite"),
        (b"\x00" * 1217, "unknown suite"),
        (b"\x03" * 1217, "unknown suite"),
        (b"\x01" * 1216, "wrong length"),
        (b"\x01" * 1218, "wrong length"),
        (b"\x01" + b"\x09" * 32 + b"\xff" * 1184, "KEM public key is invalid"),
        (b"\x02" + b"\x04" * 97 + b"\x00" * 1568, "P-384 public key is invalid"),
        (b"\x01" + bytes(32) + bytes(1184), "X25519 public key is invalid"),
    ],
)
def test_public_keys_that_no_handshake_could_use_are_refused(
    raw: bytes, says: str
) -> None:
    with pytest.raises(IdentityError, match=says):
        parse_public(armoured("QGW PUBLIC IDENTITY", raw))


def test_fingerprint_that_is_another_ones_or_missing_is_refused() -> None:
    made, other = identity("responder").public, identity("initiator").public
    text = encode_public(made)
    swapped = text.replace(
        format_fingerprint(made.fingerprint), format_fingerprint(other.fingerprint)
    )
    raw = bytes([1]) + made.ecdh + made.kem
    for wrong in (swapped, armoured("QGW PUBLIC IDENTITY", raw)):
        with pytest.raises(IdentityError, match="fingerprint"):
            parse_public(wrong)


@given(st.text(max_size=400))
def test_any_text_is_refused_in_the_documented_way(text: str) -> None:
    for parse in (parse_public, parse_private):
        for whole in (text, f"-----BEGIN QGW PUBLIC IDENTITY-----\n{text}"):
            with pytest.raises(GatewayError):
                parse(whole)


def test_huge_text_is_refused_unread() -> None:
    with pytest.raises(IdentityError, match="too large"):
        parse_public("x" * (MAX_TEXT_SIZE + 1))


def test_unknown_suite_is_refused() -> None:
    for suite_id in (0, 3, 255):
        with pytest.raises(CryptoError, match="no such suite"):
            generate_identity(suite_id)


def test_identity_shows_its_fingerprint_only() -> None:
    made: PrivateIdentity = identity("responder")
    assert repr(made) == (
        f"<PrivateIdentity {format_fingerprint(made.public.fingerprint)}>"
    )
