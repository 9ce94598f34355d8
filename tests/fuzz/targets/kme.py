"""What KMEs (ETSI GS QKD 014) and SKIP providers answer to our clients."""

import json
from collections.abc import Iterator
from uuid import UUID

from gateway.errors import SourceFault
from gateway.keystore.base import KEY_SIZE, NewKey, Refusal
from gateway.sources.etsi014.container import decode_container
from gateway.sources.etsi014.status import MAX_COUNT, decode_status
from gateway.sources.http.limits import MAX_ID, MAX_MESSAGE
from gateway.sources.http.strict_json import parse_json_object
from gateway.sources.http.trouble import Trouble
from gateway.sources.http.verdicts import DEC_KEYS, ENC_KEYS, STATUS, judge
from gateway.sources.http.words import repeatable, text_of_page, words_of
from gateway.sources.skip.answers import (
    decode_capabilities,
    decode_entropy,
    decode_key_answer,
)
from tests.fuzz.target import Target

ASKED = 3
WANTED = UUID("bc490419-7d60-487f-adc1-4ddcc177c139")
LONGEST_WORD = 20
"""Characters: no word of our own messages has more."""

FAULTS = frozenset({SourceFault.MALFORMED, SourceFault.OVERSIZED})


def read_container(body: bytes) -> None:
    """Take no key twice, none of another size, none beyond those asked for."""
    members = parse_json_object(body)
    for key_ids in (None, frozenset({WANTED})):
        contents = decode_container(members, ASKED, key_ids)
        assert len(contents.keys) <= ASKED
        taken = [key.key_id for key in contents.keys]
        assert len(set(taken)) == len(taken)
        assert key_ids is None or set(taken) <= key_ids
        assert all(len(key.key.expose()) == KEY_SIZE for key in contents.keys)
        for refused in contents.refused:
            assert len(refused.key_id) <= len(str(WANTED))


def read_status(body: bytes) -> None:
    standing = decode_status(parse_json_object(body), "ours", "theirs")
    for text in (standing.source_kme_id, standing.target_kme_id):
        assert len(text) <= MAX_ID
        assert text.isprintable()
    for count in (standing.stored_key_count, standing.max_key_per_request):
        assert count is None or 0 <= count <= MAX_COUNT


def read_error(body: bytes) -> None:
    """Repeat a KME's words in one bounded line, and judge by them."""
    for said in (text_of_page(body), words_of(parse_json_object(body))):
        shown = repeatable(said)
        assert len(shown) <= MAX_MESSAGE + len(" ...")
        assert shown.isascii()
        assert shown.isprintable()
        for call in (STATUS, ENC_KEYS, DEC_KEYS):
            for status in (400, 401, 404, 410, 503, 599):
                assert judge(call, status, said).fault in SourceFault


def read_skip_key(body: bytes) -> None:
    members = parse_json_object(body)
    for asked in (None, WANTED):
        found = decode_key_answer(members, asked)
        if isinstance(found, NewKey):
            assert len(found.key.expose()) == KEY_SIZE
            assert asked in (None, found.key_id)
        else:
            assert isinstance(found, Refusal)


def read_skip_entropy(body: bytes) -> None:
    assert len(decode_entropy(parse_json_object(body), 32).expose()) == 32


def read_capabilities(body: bytes) -> None:
    capabilities = decode_capabilities(parse_json_object(body))
    assert capabilities.reaches("paris") in (True, False)
    assert len(capabilities.local_system_id) <= MAX_ID


READERS = (
    *(read_container, read_status, read_error),
    *(read_skip_key, read_skip_entropy, read_capabilities),
)


def run(data: bytes) -> None:
    """Let every reader have every answer: a KME may mix them up."""
    for reader in READERS:
        try:
            reader(data)
        except Trouble as trouble:
            assert trouble.fault in FAULTS
            assert trouble.message.isprintable()
            assert not any(word in trouble.message for word in secrets_in(data))


def secrets_in(data: bytes) -> list[str]:
    """Return the long words of an answer: an error that repeats one tells a key."""
    text = "".join(chr(c) if chr(c).isalnum() else " " for c in data)
    return [word for word in text.split() if len(word) > LONGEST_WORD]


def seeds() -> Iterator[bytes]:
    key = {"key_ID": str(WANTED), "key": "A" * 43 + "="}
    other = {"key_ID": str(UUID(int=7)), "key": "B" * 43 + "=", "key_extension": {}}
    status = {
        "source_KME_ID": "alice",
        "target_KME_ID": "bob",
        "master_SAE_ID": "ours",
        "slave_SAE_ID": "theirs",
        "key_size": 256,
        "stored_key_count": 25000,
        "max_key_count": 100000,
        "max_key_per_request": 128,
        "max_key_size": 1024,
        "min_key_size": 64,
        "max_SAE_ID_count": 0,
    }
    answers = [
        {"keys": [key, other]},
        {"keys": key},
        {"keys": {"0": key, "1": other}},
        {"keys": [key, {**key, "key": "C" * 43 + "="}]},
        status,
        {"message": "size shall be a multiple of 8", "details": [{"a": "b"}]},
        {"detail": "Key not found"},
        {"keyId": "0" * 32, "key": "ab" * 32},
        {"randomStr": "cd" * 32},
        {
            "entropy": True,
            "key": True,
            "algorithm": "QKD",
            "localSystemID": "ours",
            "remoteSystemID": ["paris", "lon*"],
        },
    ]
    for answer in answers:
        yield json.dumps(answer).encode()
    yield b"<html><body><h1>502 Bad Gateway</h1>nginx</body></html>"
    yield b'{"a":' * 20 + b"1" + b"}" * 20
    yield b'{"key_size": ' + b"9" * 30 + b"}"


TARGET = Target(
    "answers of KMEs (ETSI 014) and SKIP providers: documented faults, nothing told",
    run,
    seeds,
    2048,
    (
        *(b'"keys":', b'"key_ID":', b'"key":', b'"keyId":', b'"randomStr":'),
        *(b'"message":', b'"stored_key_count":', b'"max_key_size":'),
        *(b'"remoteSystemID":', b'"localSystemID":', b'"entropy":', b"true", b"null"),
        *(str(WANTED).encode(), b"A" * 43 + b"=", b"ab" * 32, b"1e999", b"NaN"),
        *(b"no keys available", b"certificate", b"key not found", b"\\u0000", b"<br>"),
    ),
)
