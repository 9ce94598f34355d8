"""Answers that no honest KME gives: each one is a fault, and shows no key."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from gateway.errors import SourceFault
from gateway.sources.http.limits import BODY_BASE, BODY_PER_KEY, MAX_DEPTH
from tests.unit.sources.conftest import MakeClient, Waits
from tests.unit.sources.hostile import (
    Answering,
    Asked,
    HostileKME,
    container,
    reply,
)
from tests.unit.sources.leaks import everything_of, failure_of, shown_parts

KEY = bytes(range(100, 132))
ID = UUID("6f1b3a3e-7f5c-4b2e-9d0a-2f5b8c1d4e6f")
TEXT = base64.b64encode(KEY).decode()
GOOD = json.dumps(container([(ID, KEY)])).encode()
ENTRY = f'{{"key_ID": "{ID}", "key": "{TEXT}"}}'

MALFORMED = SourceFault.MALFORMED
OVERSIZED = SourceFault.OVERSIZED
UNREACHABLE = SourceFault.UNREACHABLE


def http(head: str, body: bytes = GOOD) -> bytes:
    """Write an answer with a head of one's own."""
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


LENGTH = f"Content-Length: {len(GOOD)}"

ANSWERS = {
    "empty": (reply(b""), MALFORMED),
    "html": (reply(b"<html><body>" + TEXT.encode()), MALFORMED),
    "xml": (reply(b"  <?xml version='1.0'?>"), MALFORMED),
    "cut off": (reply(GOOD[:-9]), MALFORMED),
    "text after": (reply(GOOD + TEXT.encode()), MALFORMED),
    "array": (reply(f"[{ENTRY}]".encode()), MALFORMED),
    "string": (reply(f'"{TEXT}"'.encode()), MALFORMED),
    "null": (reply(b"null"), MALFORMED),
    "no keys": (reply({"key": TEXT}), MALFORMED),
    "keys is text": (reply({"keys": TEXT}), MALFORMED),
    "keys is null": (reply({"keys": None}), MALFORMED),
    "keys is a map": (reply({"keys": {str(ID): TEXT}}), MALFORMED),
    "member twice": (reply(f'{{"keys":[],"keys":[{ENTRY}]}}'.encode()), MALFORMED),
    "key twice": (
        reply(f'{{"keys":[{{"key_ID":"{ID}","key":"{TEXT}","key":"x"}}]}}'.encode()),
        MALFORMED,
    ),
    "NaN": (reply(f'{{"keys":[{ENTRY}],"x":NaN}}'.encode()), MALFORMED),
    "Infinity": (reply(f'{{"keys":[{ENTRY}],"x":-Infinity}}'.encode()), MALFORMED),
    "1e999": (reply(f'{{"keys":[{ENTRY}],"x":1e999}}'.encode()), MALFORMED),
    "huge int": (
        reply(f'{{"keys":[{ENTRY}],"x":{"9" * 5000}}}'.encode()),
        MALFORMED,
    ),
    "long float": (
        reply(f'{{"keys":[{ENTRY}],"x":0.{"9" * 5000}}}'.encode()),
        MALFORMED,
    ),
    "deep": (
        reply(f'{{"keys":[{ENTRY}],"x":{"[" * 8000}{"]" * 8000}}}'.encode()),
        MALFORMED,
    ),
    "deep objects": (
        reply(f'{{"keys":[{ENTRY}],"x":{chr(123) + chr(34)}'.encode() + b'a":{' * 900),
        MALFORMED,
    ),
    "not UTF-8": (reply(GOOD.replace(b"keys", b"k\xff\xfes")), MALFORMED),
    "UTF-16": (reply(GOOD.decode().encode("utf-16")), MALFORMED),
    "byte order mark": (reply(b"\xef\xbb\xbf" + GOOD), MALFORMED),
    "control character": (reply(GOOD.replace(b"/", b"\x00")[:-3]), MALFORMED),
    "gzip": (
        reply(gzip.compress(GOOD), headers=(("Content-Encoding", "gzip"),)),
        MALFORMED,
    ),
    "gzip bomb": (
        reply(
            gzip.compress(b" " * 10_000_000), headers=(("Content-Encoding", "gzip"),)
        ),
        MALFORMED,
    ),
    "brotli": (reply(GOOD, headers=(("Content-Encoding", "br"),)), MALFORMED),
    "created": (reply(GOOD, 201), MALFORMED),
    "no content": (http("HTTP/1.1 204 No Content", b""), MALFORMED),
    "partial": (reply(GOOD, 206), MALFORMED),
    "status 999": (reply(GOOD, 999), MALFORMED),
    "redirect": (
        reply(GOOD, 307, headers=(("Location", "https://127.0.0.1:9/"),)),
        MALFORMED,
    ),
    "redirect to plain HTTP": (
        reply(GOOD, 302, headers=(("Location", "http://127.0.0.1:9/"),)),
        MALFORMED,
    ),
    "not HTTP": (http(f"SSH-2.0-{TEXT}"), MALFORMED),
    "status line": (http(f"HTTP/1.1 {TEXT} OK\n{LENGTH}"), MALFORMED),
    "version": (http(f"HTTP/9.9.9 200 {TEXT}\n{LENGTH}"), MALFORMED),
    "header": (http(f"HTTP/1.1 200 OK\n{TEXT}\n{LENGTH}"), MALFORMED),
    "length is text": (
        http(f"HTTP/1.1 200 OK\nContent-Length: {TEXT}"),
        MALFORMED,
    ),
    "length is negative": (http("HTTP/1.1 200 OK\nContent-Length: -5"), MALFORMED),
    "length is endless": (
        http(f"HTTP/1.1 200 OK\nContent-Length: {'9' * 15}"),
        OVERSIZED,
    ),
    "two lengths": (
        http(f"HTTP/1.1 200 OK\n{LENGTH}\nContent-Length: 5"),
        MALFORMED,
    ),
    "length and chunks": (
        http(f"HTTP/1.1 200 OK\n{LENGTH}\nTransfer-Encoding: chunked"),
        MALFORMED,
    ),
    "bad chunk": (
        http("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", f"{TEXT}\r\n".encode()),
        MALFORMED,
    ),
    "chunk without end": (
        http("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"5\r\n" + GOOD),
        MALFORMED,
    ),
    "long header": (
        http(f"HTTP/1.1 200 OK\n{LENGTH}\nX: {TEXT * 900}"),
        MALFORMED,
    ),
    "many headers": (
        http(f"HTTP/1.1 200 OK\n{LENGTH}" + f"\nX: {TEXT}" * 500),
        MALFORMED,
    ),
    "too long": (reply(GOOD + b" " * (BODY_BASE + BODY_PER_KEY)), OVERSIZED),
    "long error": (reply(b"x" * (BODY_BASE + BODY_PER_KEY + 1), 503), OVERSIZED),
    "too many keys": (reply({"keys": [{}] * 66}), OVERSIZED),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answer_is_a_fault(kme: HostileKME, make: MakeClient, name: str) -> None:
    answer, fault = ANSWERS[name]
    kme.made.append(KEY)
    kme.replies["enc_keys"] = [answer]
    error = await failure_of(make(kme).get_keys(1))
    assert error.fault is fault, error
    assert (error.source, error.call) == (kme.url, "enc_keys")
    assert str(error).startswith(f"{kme.url}: enc_keys: ")
    assert not shown_parts(everything_of(error), [KEY])
    assert len(kme.calls("enc_keys")) == 1


@pytest.mark.parametrize("name", ANSWERS)
async def test_stock_of_another_batch_is_left_alone(
    kme: HostileKME, make: MakeClient, name: str
) -> None:
    """What is fetched with one call does not depend on the answer to another."""
    kme.replies["dec_keys"] = [ANSWERS[name][0]]
    client = make(kme)
    await failure_of(client.get_keys_with_ids([ID]))
    assert len((await client.get_keys(1)).keys) == 1


STATUS_LIES: dict[str, dict[str, object]] = {
    "text": {"key_size": "256"},
    "float": {"key_size": 256.0},
    "bool": {"stored_key_count": True},
    "list": {"max_key_per_request": [1]},
    "negative": {"stored_key_count": -1},
    "zero": {"max_key_per_request": 0},
    "beyond": {"max_key_count": 10**17},
}

ODD_IDS: dict[str, dict[str, object]] = {
    "a number": {"source_KME_ID": 7},
    "zero": {"target_KME_ID": 0},
    "long": {"target_KME_ID": "x" * 257},
    "control characters": {"source_KME_ID": "kme\x1b[2J"},
}


@pytest.mark.parametrize("name", ODD_IDS)
async def test_an_id_that_is_none_is_noted(
    kme: HostileKME, make: MakeClient, name: str
) -> None:
    kme.status = ODD_IDS[name]
    status = await make(kme).get_status()
    (member,) = ODD_IDS[name]
    assert status.notes == (f"{member} is no short text (6.1)",)
    assert status.max_key_per_request == 128


@pytest.mark.parametrize("name", STATUS_LIES)
async def test_mistyped_status(kme: HostileKME, make: MakeClient, name: str) -> None:
    kme.status = STATUS_LIES[name]
    client = make(kme)
    error = await failure_of(client.get_status())
    assert error.fault is MALFORMED
    assert next(iter(STATUS_LIES[name])) in error.message
    # Keys can be had still: the limits are only unknown.
    assert len((await client.get_keys(2)).keys) == 2


def entries(*pairs: tuple[object, object]) -> bytes:
    """Write a container of whatever."""
    return reply({"keys": [{"key_ID": i, "key": k} for i, k in pairs]})


def other(size: int = 32) -> str:
    """Write another key."""
    return base64.b64encode(bytes(range(size))).decode()


BAD_KEYS = {
    "short": (str(ID), base64.b64encode(KEY[:16]).decode(), str(ID), "short"),
    "none": (str(ID), "", str(ID), "short"),
    "long": (str(ID), other(64), str(ID), "long"),
    "not base64": (str(ID), "*" * 44, str(ID), "malformed"),
    "no padding": (str(ID), TEXT.rstrip("="), str(ID), "malformed"),
    "base64 and more": (str(ID), TEXT + TEXT, str(ID), "malformed"),
    "line break": (str(ID), TEXT[:20] + "\n" + TEXT[20:], str(ID), "malformed"),
    "not ASCII": (str(ID), "ä" * 44, str(ID), "malformed"),
    "lone surrogate": (str(ID), "\ud800" * 44, str(ID), "malformed"),
    "number": (str(ID), 7, str(ID), "malformed"),
    "null": (str(ID), None, str(ID), "malformed"),
    "hexadecimal": (str(ID), KEY.hex(), str(ID), "long"),
    "ID is a number": (7, TEXT, "keys[1]", "malformed"),
    "ID is the key": (TEXT, str(ID), "keys[1]", "malformed"),
    "both are the key": (TEXT, TEXT, "keys[1]", "malformed"),
    "ID is the key, unpadded": (TEXT.rstrip("="), TEXT, "keys[1]", "malformed"),
    "ID is the key in hexadecimal": (KEY.hex(), TEXT, "keys[1]", "malformed"),
    "ID with a space": (f"{ID} ", TEXT, "keys[1]", "malformed"),
    "ID of other than ASCII": (f"\u0660{ID}", TEXT, "keys[1]", "malformed"),
    "ID of 129 characters": ("a" * 129, TEXT, "keys[1]", "malformed"),
    "ID is empty": ("", TEXT, "keys[1]", "malformed"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_bad_key_is_left_out_of_a_good_batch(
    kme: HostileKME, make: MakeClient, name: str
) -> None:
    key_id, key, place, reason = BAD_KEYS[name]
    first, last = uuid4(), uuid4()
    kme.made += [KEY, bytes(range(32))]
    kme.replies["enc_keys"] = [
        entries((str(first), TEXT), (key_id, key), (str(last), other()))
    ]
    delivery = await make(kme).get_keys(3)
    assert [one.key_id for one in delivery.keys] == [first, last]
    assert [(r.key_id, r.reason) for r in delivery.refused] == [(place, reason)]
    assert not shown_parts(repr(delivery), kme.made)


async def test_entries_that_are_none(kme: HostileKME, make: MakeClient) -> None:
    kme.replies["enc_keys"] = [reply({"keys": [TEXT, 7, None, [], {}]})]
    delivery = await make(kme).get_keys(5)
    assert not delivery.keys
    assert [r.reason for r in delivery.refused] == ["malformed"] * 5
    assert [r.key_id for r in delivery.refused] == [f"keys[{i}]" for i in range(5)]


async def test_same_entry_twice_is_taken_once(
    kme: HostileKME, make: MakeClient
) -> None:
    kme.replies["enc_keys"] = [entries((str(ID), TEXT), (str(ID).upper(), TEXT))]
    delivery = await make(kme).get_keys(2)
    assert [one.key_id for one in delivery.keys] == [ID]
    assert [(r.key_id, r.reason) for r in delivery.refused] == [(str(ID), "duplicate")]


async def test_two_keys_under_one_id_are_both_refused(
    kme: HostileKME, make: MakeClient
) -> None:
    """Which of them the peer has, nobody knows."""
    good = uuid4()
    kme.replies["enc_keys"] = [
        entries((str(ID), TEXT), (str(good), TEXT), (str(ID), other()), (str(ID), TEXT))
    ]
    delivery = await make(kme).get_keys(4)
    assert [one.key_id for one in delivery.keys] == [good]
    assert [r.reason for r in delivery.refused] == ["duplicate"] * 3


async def test_more_keys_than_asked_are_refused(
    kme: HostileKME, make: MakeClient
) -> None:
    keys = [kme.new_key() for _ in range(5)]
    kme.replies["enc_keys"] = [reply(container(keys))]
    delivery = await make(kme).get_keys(3)
    assert [one.key_id for one in delivery.keys] == [key_id for key_id, _ in keys[:3]]
    assert [r.reason for r in delivery.refused] == ["unasked"] * 2


async def test_keys_not_asked_for_are_refused(
    kme: HostileKME, make: MakeClient
) -> None:
    (wanted,) = kme.fill(1)
    stray = uuid4()
    kme.replies["dec_keys"] = [
        reply(container([(stray, KEY), (wanted, kme.pool[wanted])]))
    ]
    delivery = await make(kme).get_keys_with_ids([wanted])
    assert [one.key_id for one in delivery.keys] == [wanted]
    assert [(r.key_id, r.reason) for r in delivery.refused] == [(str(stray), "unasked")]


async def test_bad_key_asked_for_is_refused_and_not_missing(
    kme: HostileKME, make: MakeClient
) -> None:
    kme.replies["dec_keys"] = [entries((str(ID), "short"))]
    delivery = await make(kme).get_keys_with_ids([ID])
    assert not delivery.keys
    assert not delivery.missing
    assert [r.key_id for r in delivery.refused] == [str(ID)]


# Time, and connections that end


def saying(*parts: bytes, pause: float = 0.0, times: int = 1) -> Answering:
    """Say parts with pauses, over and over, then end the connection."""

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()
        raise ConnectionError

    return answer


HEAD = http(f"HTTP/1.1 200 OK\n{LENGTH}", b"")
ENDLESS = http("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"")


async def silence(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


SLOW: dict[str, Callable[[], Answering]] = {
    "silence": lambda: silence,
    "silence within": lambda: saying(HEAD + GOOD[:50], pause=30),
    "drip of a head": lambda: saying(
        *(bytes([byte]) for byte in HEAD), pause=0.05, times=9
    ),
    "drip of a body": lambda: saying(HEAD, *([b" "] * 100), pause=0.05),
    "drip of chunks": lambda: saying(ENDLESS, *([b"1\r\n \r\n"] * 99), pause=0.05),
    "interim answers": lambda: saying(
        b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.02, times=999
    ),
}


@pytest.mark.parametrize("name", SLOW)
async def test_slow_answer_is_given_up(
    kme: HostileKME, make: MakeClient, name: str
) -> None:
    kme.made.append(KEY)
    client = make(kme, timeout=0.8)
    await client.get_status()
    kme.replies["enc_keys"] = [SLOW[name]()]
    started = asyncio.get_running_loop().time()
    error = await failure_of(client.get_keys(1))
    assert error.fault is SourceFault.TIMEOUT
    assert asyncio.get_running_loop().time() - started < 4
    assert len(kme.calls("enc_keys")) == 1
    assert not shown_parts(everything_of(error), [KEY])


async def test_endless_body_is_cut_off(kme: HostileKME, make: MakeClient) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    kme.replies["enc_keys"] = [saying(ENDLESS, *([chunk] * 500))]
    error = await failure_of(make(kme).get_keys(1))
    assert error.fault is OVERSIZED


STAGES = {
    "before an answer": (b"", UNREACHABLE),
    "in the status line": (b"HTTP/1.1 20", MALFORMED),
    "in a header": (HEAD[:25], MALFORMED),
    "after the head": (HEAD, UNREACHABLE),
    "in the body": (HEAD + GOOD[:60], UNREACHABLE),
    "in a chunk": (ENDLESS + b"40\r\n" + GOOD[:20], UNREACHABLE),
    "between chunks": (ENDLESS + b"5\r\n" + GOOD[:5] + b"\r\n", UNREACHABLE),
}


@pytest.mark.parametrize("by", ["close", "reset"])
@pytest.mark.parametrize("stage", STAGES)
async def test_connection_that_ends(
    kme: HostileKME, make: MakeClient, stage: str, by: str
) -> None:
    sent, fault = STAGES[stage]
    kme.made.append(KEY)

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        if by == "close":
            writer.close()
        else:
            writer.transport.abort()
        raise ConnectionError

    client = make(kme)
    kme.replies["dec_keys"] = [answer]
    error = await failure_of(client.get_keys_with_ids([ID]))
    assert error.fault in {fault, UNREACHABLE}
    assert not shown_parts(everything_of(error), [KEY])
    # The next call is not hurt.
    assert len((await client.get_keys(1)).keys) == 1


async def test_halving_takes_no_longer_than_its_tries(
    kme: HostileKME, make: MakeClient
) -> None:
    """A KME that lacks every key, and takes its time to say so."""

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.25)
        writer.write(reply({"message": "keys not found"}, 400))

    client = make(kme, timeout=0.8)
    await client.get_status()
    kme.replies["dec_keys"] = [answer]
    started = asyncio.get_running_loop().time()
    wanted = [uuid4() for _ in range(8)]
    delivery = await client.get_keys_with_ids(wanted)
    assert asyncio.get_running_loop().time() - started < 5
    assert 0 < len(delivery.missing) < 8
    assert not delivery.keys


async def test_halving_that_decides_nothing_is_late(
    kme: HostileKME, make: MakeClient
) -> None:
    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.7)
        writer.write(reply({"message": "keys not found"}, 400))

    client = make(kme, timeout=0.9)
    await client.get_status()
    kme.replies["dec_keys"] = [answer]
    wanted = [uuid4() for _ in range(64)]
    error = await failure_of(client.get_keys_with_ids(wanted))
    assert (error.fault, error.call) == (SourceFault.TIMEOUT, "dec_keys")


async def test_cookies_are_not_kept(kme: HostileKME, make: MakeClient) -> None:
    kme.made.append(KEY)
    kme.replies["status"] = [
        reply(kme.status_members(), headers=(("Set-Cookie", f"id={TEXT}; =;;"),))
    ]
    client = make(kme)
    await client.get_status()
    await client.get_keys(1)
    assert all("cookie" not in asked.headers for asked in kme.asked)


async def test_depth_that_is_allowed(kme: HostileKME, make: MakeClient) -> None:
    nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    brackets = json.dumps('"[' * 200 + "\\")
    body = f'{{"keys":[{ENTRY}],"x":{nested},"y":{brackets}}}'.encode()
    kme.replies["enc_keys"] = [reply(body)]
    assert len((await make(kme).get_keys(1)).keys) == 1


# What is repeated (docs/adr/0111)


async def drop(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    raise ConnectionError


async def test_enc_keys_is_not_repeated_when_it_may_have_been_done(
    kme: HostileKME, make: MakeClient, waits: Waits
) -> None:
    """The status came by another connection, so this one is not an old one."""
    client = make(kme)
    status = reply(kme.status_members(), headers=(("Connection", "close"),))
    kme.replies["status"] = [status]
    kme.replies["enc_keys"] = [drop]
    assert (await failure_of(client.get_keys(1))).fault is UNREACHABLE
    assert len(kme.calls("enc_keys")) == 1
    assert not waits.seconds


async def test_enc_keys_is_repeated_once_on_a_kept_connection(
    kme: HostileKME, make: MakeClient, waits: Waits
) -> None:
    client = make(kme)
    await client.get_keys(1)
    kme.replies["enc_keys"] = [drop, reply(container([kme.new_key()]))]
    assert len((await client.get_keys(1)).keys) == 1
    assert waits.seconds == [0.0]
    kme.replies["enc_keys"] = [drop]
    before = len(kme.calls("enc_keys"))
    await failure_of(client.get_keys(1))
    assert len(kme.calls("enc_keys")) - before == 2


async def test_get_is_not_repeated_behind_our_back(
    kme: HostileKME, make: MakeClient
) -> None:
    """aiohttp takes GET for harmless; by GET keys are drawn as well."""
    client = make(kme)
    last = reply(container([kme.new_key()]), headers=(("Connection", "close"),))
    kme.replies["enc_keys"] = [reply(b"", 405), last, drop]
    await client.get_keys(1)
    await failure_of(client.get_keys(1))
    methods = [asked.method for asked in kme.calls("enc_keys")]
    assert methods == ["POST", "GET", "GET"]


async def test_dec_keys_is_repeated_with_growing_waits(
    kme: HostileKME, make: MakeClient, waits: Waits
) -> None:
    kme.replies["dec_keys"] = [drop]
    client = make(kme)
    assert (await failure_of(client.get_keys_with_ids([ID]))).fault is UNREACHABLE
    assert len(kme.calls("dec_keys")) == 3
    assert waits.seconds == [0.25, 0.5]


async def test_server_error_is_repeated_for_dec_keys_only(
    kme: HostileKME, make: MakeClient
) -> None:
    for call in ("enc_keys", "dec_keys"):
        kme.replies[call] = [reply(b"", 500)]
    client = make(kme)
    await failure_of(client.get_keys(1))
    await failure_of(client.get_keys_with_ids([ID]))
    assert len(kme.calls("enc_keys")) == 1
    assert len(kme.calls("dec_keys")) == 2


async def test_calls_can_be_cancelled(kme: HostileKME, make: MakeClient) -> None:
    client = make(kme)
    await client.get_status()
    is_asked = asyncio.Event()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        is_asked.set()
        await silence(asked, writer)

    kme.replies["enc_keys"] = [answer]
    task = asyncio.create_task(client.get_keys(1))
    await is_asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del kme.replies["enc_keys"]
    assert len((await client.get_keys(1)).keys) == 1


async def test_closed_client_says_so(kme: HostileKME, make: MakeClient) -> None:
    client = make(kme)
    await client.get_keys(1)
    await client.close()
    assert (await failure_of(client.get_keys(1))).fault is UNREACHABLE
