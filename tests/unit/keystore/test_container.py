"""Key containers from hostile hands."""

import base64
import json
import traceback
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import KeyFileError
from gateway.keystore.base import Refusal
from gateway.keystore.container import (
    MAX_CONTAINER_BYTES,
    MAX_CONTAINER_KEYS,
    parse_container,
)

ID = "0b2d9a4e-6d4f-4a55-9d3f-2f1c3a5b7c9d"
KEY = bytes(range(32))
KEY64 = base64.b64encode(KEY).decode()


def container(*entries: object, **extra: object) -> str:
    return json.dumps({"keys": entries, **extra})


def entry(key_id: object = ID, key: object = KEY64, **extra: object) -> object:
    return {"key_ID": key_id, "key": key, **extra}


def other_id(number: int) -> str:
    return str(UUID(int=number))


def test_reads_the_standards_format_ignoring_extensions() -> None:
    text = container(
        entry(key_ID_extension={"x": 1}, key_extension=[1e300, 5]),
        entry(other_id(1), base64.b64encode(KEY[::-1]).decode()),
        key_container_extension={"a": {"b": [True, None, -1]}},
    )
    for data in (text, text.encode(), b"\xef\xbb\xbf" + text.encode()):
        parsed = parse_container(data)
        assert [(str(key.key_id), key.key.expose()) for key in parsed.keys] == [
            (ID, KEY),
            (other_id(1), KEY[::-1]),
        ]
        assert parsed.refused == ()


def test_no_keys_is_a_container() -> None:
    assert parse_container(container()).keys == ()


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        (entry(key=base64.b64encode(KEY[:31]).decode()), Refusal(ID, "short")),
        (entry(key=""), Refusal(ID, "short")),
        (entry(key=base64.b64encode(KEY + b"x").decode()), Refusal(ID, "long")),
        (entry(key="!" + KEY64[1:]), Refusal(ID, "malformed")),
        (entry(key=KEY64.rstrip("=")), Refusal(ID, "malformed")),
        (entry(key=KEY64 + "\n"), Refusal(ID, "malformed")),
        (entry(key="é" * 44), Refusal(ID, "malformed")),
        (entry(key=None), Refusal(ID, "malformed")),
        (entry(key=[1, 2]), Refusal(ID, "malformed")),
        ({"key_ID": ID}, Refusal(ID, "malformed")),
        ({"key": KEY64}, Refusal("keys[1]", "malformed")),
        (entry(7), Refusal("keys[1]", "malformed")),
        (entry("a" * 129), Refusal("keys[1]", "malformed")),
        (entry(ID + " "), Refusal("keys[1]", "malformed")),
        (entry(KEY64), Refusal("keys[1]", "malformed")),
        (entry("id-" + KEY.hex()), Refusal("keys[1]", "malformed")),
        (entry(ID + "\n"), Refusal("keys[1]", "malformed")),
        (entry("\u0660" + ID[1:]), Refusal("keys[1]", "malformed")),
        (entry(KEY64, ID), Refusal("keys[1]", "malformed")),
        ("text", Refusal("keys[1]", "malformed")),
        (None, Refusal("keys[1]", "malformed")),
        ([], Refusal("keys[1]", "malformed")),
    ],
)
def test_refuses_a_bad_key_and_takes_the_rest(bad: object, refusal: Refusal) -> None:
    parsed = parse_container(container(entry(other_id(1)), bad, entry(other_id(2))))
    assert [str(key.key_id) for key in parsed.keys] == [other_id(1), other_id(2)]
    assert parsed.refused == (refusal,)


def test_refuses_a_repeated_key_id_in_either_spelling() -> None:
    parsed = parse_container(container(entry(), entry(), entry(ID.upper())))
    assert len(parsed.keys) == 1
    assert parsed.refused == (Refusal(ID, "duplicate"),) * 2


def test_tells_a_repeated_key_id_with_other_bytes() -> None:
    other = base64.b64encode(KEY[::-1]).decode()
    parsed = parse_container(container(entry(), entry(key=other)))
    assert [key.key.expose() for key in parsed.keys] == [KEY]
    assert parsed.refused == (Refusal(ID, "other-bytes"),)


def test_refuses_an_object_that_says_two_things() -> None:
    text = f'{{"keys": [{{"key_ID": "{ID}", "key": "{KEY64}", "key": "{KEY64}"}}]}}'
    assert parse_container(text).refused == (Refusal(ID, "malformed"),)
    text = f'{{"keys": [{{"key_ID": "{ID}", "x": 1, "x": 2, "key": "{KEY64}"}}]}}'
    assert len(parse_container(text).keys) == 1


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("", "not JSON"),
        ('{"keys": [', "line 1, column 11"),
        ("\x00", "not JSON"),
        ('{"keys": [NaN]}', "NaN"),
        ('{"keys": [-Infinity]}', "NaN"),
        ("[" * 200_000, "nested"),
        ('{"keys":' * 200_000, "nested"),
        (b'{"keys": []}\xff', "byte 12 is not UTF-8"),
        ('{"keys": []}'.encode("utf-16"), "not UTF-8"),
        ("[]", "no list"),
        ("7", "no list"),
        ("{}", "no list"),
        ('{"keys": {"0": 1}}', "no list"),
        ('{"keys": [], "keys": []}', "no list"),
        ('{"message": "no keys"}', "no list"),
        (b" " * (MAX_CONTAINER_BYTES + 1), "larger"),
        ('{"keys": [' + "0," * MAX_CONTAINER_KEYS + "0]}", "more than"),
    ],
    ids=range(17),
)
def test_refuses_what_is_no_container(data: bytes | str, fault: str) -> None:
    with pytest.raises(KeyFileError, match=fault) as caught:
        parse_container(data)
    assert caught.value.hint


def test_numbers_of_any_length_are_harmless() -> None:
    text = container(entry())[:-1] + ', "n": ' + "9" * 1_000_000 + "}"
    assert len(parse_container(text).keys) == 1


@pytest.mark.parametrize("tail", ["", "]", "NaN]}", "\xff"])
def test_no_key_in_any_error(tail: str) -> None:
    data = ('{"keys": [{"key": "' + KEY64 + '"},').encode() + tail.encode("latin-1")
    with pytest.raises(KeyFileError) as caught:
        parse_container(data)
    error: BaseException | None = caught.value
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.args)
    assert KEY64 not in shown
    assert error is not None
    # Nor does a chained foreign error hold the document in an attribute.
    assert error.__context__ is None
    assert error.__cause__ is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from([ID, KEY64]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["keys", "key_ID", "key"]) | st.text(), inner)
    ),
)


@given(JSON)
def test_any_json_is_parsed_or_refused(document: object) -> None:
    try:
        parsed = parse_container(json.dumps(document))
    except KeyFileError:
        return
    assert isinstance(document, dict)
    assert len(parsed.keys) + len(parsed.refused) == len(document["keys"])


@given(st.binary())
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    with pytest.raises(KeyFileError):
        parse_container(data)


@given(st.integers(0, 400))
def test_every_truncation_is_refused(length: int) -> None:
    text = container(entry(), entry(other_id(1)))
    with pytest.raises(KeyFileError):
        parse_container(text[: min(length, len(text) - 1)])
