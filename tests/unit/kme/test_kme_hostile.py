"""Attacks on our own KME: the standard's answer, and nothing given away."""

import asyncio
import base64
import contextlib
import functools
import json
import logging
import ssl
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from doubles.kme_pair import KMEPair
from hypothesis import given
from hypothesis import strategies as st

from gateway.kme import guard, listener
from gateway.kme.peer_messages import DRAWINGS_PATH, LINK_PATH, MARKS_PATH
from gateway.kme.pki import LaboratoryPKI, TlsFiles, make_laboratory_pki
from gateway.kme.refusals import BAD_REQUEST, RefusedError
from gateway.kme.requests import (
    MAX_BODY,
    KeyLimits,
    read_key_id_query,
    read_key_ids,
    read_key_query,
    read_key_request,
)
from tests.unit.kme.conftest import Call, tls_of

LIMITS = KeyLimits(256, 64, 1024, 32)
CALLS = (("GET", "status"), ("GET", "enc_keys"), ("POST", "enc_keys"))


async def stored(pair: KMEPair) -> tuple[int, int]:
    return pair.alice.core.stored, pair.bob.core.stored


async def test_without_certificate(pair: KMEPair, sae: Call) -> None:
    """401 without body, whatever is asked for, and nothing read of what is sent."""
    nobody = sae(None, pair.alice.url)
    for method, path in (
        ("GET", "/api/v1/keys/gw-b/status"),
        ("POST", "/api/v1/keys/gw-b/enc_keys"),
        ("GET", "/"),
        ("GET", "/api/v1/keys/nobody/status"),
        ("PUT", "/anything"),
        ("POST", DRAWINGS_PATH),
    ):
        answer = await nobody.call(method, path, body=b"{}")
        assert (answer.status, answer.body) == (401, b""), path
    assert await stored(pair) == (100, 100)


async def test_strangers_with_a_certificate(pair: KMEPair, sae: Call) -> None:
    """An SAE of nobody's site, and SAEs of the other one, learn nothing here."""
    for who in ("stranger", "gw-b", "gw-c"):
        caller = sae(who, pair.alice.url)
        for other in ("gw-a", "gw-b", "nobody", who):
            for method, call in (*CALLS, ("GET", "dec_keys"), ("POST", "dec_keys")):
                path = f"/api/v1/keys/{other}/{call}"
                answer = await caller.call(method, path, body=b"{}")
                assert (answer.status, answer.body) == (401, b"")
    assert await stored(pair) == (100, 100)


async def test_another_ca(pair: KMEPair, tmp_path: Path, sae: Call) -> None:
    """The right name from the wrong CA does not get through the handshake."""
    forged = make_laboratory_pki(tmp_path / "forged", kmes={}, saes=["gw-a"])
    caller = sae(replace(forged.saes["gw-a"], ca=pair.ca), pair.alice.url)
    with pytest.raises(aiohttp.ClientError):
        await caller.get("gw-b", "status")


async def test_an_expired_certificate(pair: KMEPair, tmp_path: Path, sae: Call) -> None:
    expired = pair.pki.authority.issue_sae("gw-a", folder=tmp_path, days=-1)
    with pytest.raises(aiohttp.ClientError):
        await sae(expired, pair.alice.url).get("gw-b", "status")


async def test_a_certificate_that_contradicts_itself(
    pair: KMEPair, tmp_path: Path, sae: Call
) -> None:
    """Its URI names another SAE than its common name."""
    liar = pair.pki.authority.issue_sae("gw-a", uri="sae:gw-c", folder=tmp_path)
    answer = await sae(liar, pair.alice.url).get("gw-b", "status")
    assert (answer.status, answer.body) == (401, b"")


async def test_a_server_certificate_is_no_sae(pair: KMEPair, sae: Call) -> None:
    kme = pair.pki.kmes["kme-bob"]
    answer = await sae(kme, pair.alice.url).get("gw-b", "status")
    assert (answer.status, answer.body) == (401, b"")


async def test_the_private_path_is_the_peers_alone(pair: KMEPair, sae: Call) -> None:
    drawing = {
        "link_id": pair.bob.core.message().link_id,
        "first": 0,
        "number": 1,
        "units": 1,
        "size": 256,
        "master": "gw-b",
        "slave": "gw-a",
    }
    bodies = {DRAWINGS_PATH: drawing, MARKS_PATH: {}, LINK_PATH: {"action": "down"}}
    # An SAE, the KME itself, and a stranger.
    for who in ("gw-a", pair.pki.kmes["kme-alice"], "stranger"):
        caller = sae(who, pair.alice.url)
        for path, body in bodies.items():
            answer = await caller.call("POST", path, body=json.dumps(body).encode())
            assert (answer.status, answer.body) == (401, b"")
    assert pair.alice.core.waiting == 0


async def test_a_peer_that_talks_nonsense(pair: KMEPair, sae: Call) -> None:
    """Even the peer is held to types and ranges, and to the pairs allowed here."""
    peer = sae(pair.pki.kmes["kme-bob"], pair.alice.url)
    link_id = pair.bob.core.message().link_id
    good = {
        "link_id": link_id,
        "first": 5,
        "number": 1,
        "units": 1,
        "size": 256,
        "master": "gw-b",
        "slave": "gw-a",
    }

    async def status(path: str, document: object) -> int:
        body = (
            document if isinstance(document, bytes) else json.dumps(document).encode()
        )
        return (await peer.call("POST", path, body=body)).status

    for name, value in (
        ("first", -1),
        ("first", 1 << 60),
        ("first", "5"),
        ("number", 0),
        ("number", 5000),
        ("units", 0),
        ("units", 1000),
        ("size", 257),
        ("size", 8),
        ("master", ""),
        ("master", "a\nb"),
        ("slave", 7),
        ("slave", "x" * 5000),
    ):
        assert await status(DRAWINGS_PATH, {**good, name: value}) == 400, (name, value)
    assert await status(DRAWINGS_PATH, {**good, "link_id": "another"}) == 403
    assert await status(DRAWINGS_PATH, {**good, "slave": "gw-c"}) == 403
    assert await status(DRAWINGS_PATH, {**good, "master": "gw-c"}) == 403
    for path in (DRAWINGS_PATH, MARKS_PATH, LINK_PATH):
        for body in (b"", b"[]", b"\xff", b"[" * 10_000, {"made": [1], "action": 3}):
            assert await status(path, body) == 400
        assert await status(path, b" " * 20_000) == 400
    assert await status(LINK_PATH, {"action": "explode"}) == 400
    assert pair.alice.core.waiting == 0
    assert await status(DRAWINGS_PATH, good) == 204
    assert pair.alice.core.waiting == 1


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

PATHS = [
    "..",
    ".",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "gw-b%00",
    "gw-b%2f",
    "gw-b%20",
    "gw%2Db%0a",
    "%ff%fe",
    "%",
    "%zz",
    "'%20OR%201=1%20--",
    "gw-b;x=1",
    "*",
    "x" * 4000,
    "%F0%9F%94%91" * 100,
]


async def test_strange_ids_in_the_path(pair: KMEPair, sae: Call) -> None:
    alice = sae("gw-a", pair.alice.url)
    for sae_id in PATHS:
        for method, call in CALLS:
            path = f"/api/v1/keys/{sae_id}/{call}"
            answer = await alice.call(method, path, body=b"{}")
            assert answer.status in {400, 401, 404}, path
            assert b"key_ID" not in answer.body
    assert await stored(pair) == (100, 100)


async def test_methods_that_there_are_not(pair: KMEPair, sae: Call) -> None:
    """A HEAD above all: it would take keys that nobody sees."""
    alice = sae("gw-a", pair.alice.url)
    for method in ("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        for call in ("status", "enc_keys", "dec_keys"):
            answer = await alice.call(method, f"/api/v1/keys/gw-b/{call}")
            assert answer.status == 405
    answer = await alice.call("POST", "/api/v1/keys/gw-b/status", body=b"{}")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert (await alice.call("GET", "/api/v2/keys/gw-b/status")).status == 404
    assert await stored(pair) == (100, 100)


async def test_huge_bodies(pair: KMEPair, sae: Call) -> None:
    alice = sae("gw-a", pair.alice.url)
    for body in (
        b'{"a": "' + b"x" * MAX_BODY + b'"}',
        b"[" * (MAX_BODY + 1),
    ):
        answer = await alice.post("gw-b", "enc_keys", body)
        assert answer.status == 400
        assert answer.document["details"] == [{"body": f"longer than {MAX_BODY} bytes"}]
    # Whoever is still sending when the connection closes may miss the answer.
    with contextlib.suppress(aiohttp.ClientConnectionError):
        beyond = b" " * (20 * MAX_BODY) + b'{"number": 1}'
        answer = await alice.post("gw-b", "enc_keys", beyond)
        assert answer.status == 400
    assert await stored(pair) == (100, 100)
    just_fits = b" " * (MAX_BODY - 13) + b'{"number": 1}'
    assert len((await alice.post("gw-b", "enc_keys", just_fits)).keys) == 1


async def test_an_endless_body(pair: KMEPair) -> None:
    """No length is said and no end comes: the answer does."""
    head = b"POST /api/v1/keys/gw-b/enc_keys HTTP/1.1\r\nHost: x\r\n"
    async with Raw(pair, "gw-a") as raw:
        raw.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            raw.send(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        assert (await raw.answer()).startswith(b"HTTP/1.1 400 ")


async def test_a_compressed_body_is_not_unpacked(pair: KMEPair, sae: Call) -> None:
    answer = await sae("gw-a", pair.alice.url).call(
        "POST",
        "/api/v1/keys/gw-b/enc_keys",
        body=b"\x1f\x8b" + bytes(100),
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status == 400


async def test_thousands_of_ids(tmp_path: Path, pki: LaboratoryPKI, sae: Call) -> None:
    """As many as fit the body, all unknown: refused at once; a few more: too many."""
    pair = KMEPair(tmp_path / "p", pki=pki, max_key_per_request=1024)
    async with pair:
        bob = sae("gw-b", pair.bob.url)
        ids = [str(uuid.UUID(int=number)) for number in range(4000)]
        answer = await bob.fetch("gw-a", *ids[:1024])
        assert answer.status == 400
        assert answer.document == {
            "message": "one or more keys specified are not found on KME"
        }
        answer = await bob.fetch("gw-a", *ids)
        assert answer.document["details"] == [{"key_IDs": "1 to 1024 in one request"}]


async def test_slow_heads_and_bodies_are_cut(
    pair: KMEPair, monkeypatch: pytest.MonkeyPatch, sae: Call
) -> None:
    monkeypatch.setattr(listener, "FIRST_REQUEST_TIMEOUT", 0.5)
    monkeypatch.setattr(guard, "READ_TIMEOUT", 0.5)
    async with Raw(pair, "gw-a") as silent, Raw(pair, "gw-a") as slow:
        slow.send(b"POST /api/v1/keys/gw-b/enc_keys HTTP/1.1\r\nHost: x\r\n")
        assert await silent.answer() == b""
        assert await slow.answer() == b""
    async with Raw(pair, "gw-a") as dripping:
        head = b"POST /api/v1/keys/gw-b/enc_keys HTTP/1.1\r\nHost: x\r\n"
        dripping.send(head + b"Content-Length: 100\r\n\r\n{")
        answer = await dripping.answer()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"did not arrive in time" in answer
    assert len((await sae("gw-a", pair.alice.url).draw("gw-b")).keys) == 1


async def test_idle_connections_are_cut(
    pair: KMEPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "IDLE_TIMEOUT", 0.5)
    async with Raw(pair, "gw-a") as raw:
        raw.send(b"GET /api/v1/keys/gw-b/status HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await raw.answer()  # ends only because the KME closes
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_connections_are_bounded(
    pair: KMEPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 3)
    open_now = [Raw(pair, "gw-a") for _ in range(4)]
    for raw in open_now:
        await raw.__aenter__()
    assert await open_now[-1].answer() == b""
    for raw in open_now:
        await raw.__aexit__()
    await asyncio.sleep(0.05)
    async with Raw(pair, "gw-a") as raw:
        raw.send(b"GET /api/v1/keys/gw-b/status HTTP/1.1\r\nHost: x\r\n")
        raw.send(b"Connection: close\r\n\r\n")
        assert (await raw.answer()).startswith(b"HTTP/1.1 200 ")


async def test_requests_of_an_sae_are_bounded(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    pair = KMEPair(
        tmp_path / "pair",
        pki=pki,
        alice_saes=["gw-a", "gw-c"],
        requests_per_second=0.01,
    )
    async with pair:
        greedy = sae("gw-a", pair.alice.url)
        assert (await greedy.get("gw-b", "status")).status == 200
        refused = await greedy.get("gw-b", "status")
        assert (refused.status, refused.message) == (
            503,
            "too many requests of this SAE",
        )
        assert "Retry-After" in refused.headers
        # Another SAE has its own measure.
        other = sae("gw-c", pair.alice.url)
        assert (await other.get("gw-b", "status")).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 500,
        b"GET /api/v1/keys/gw-b/enc_keys HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET " + b"/x" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + CHUNKED,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_is_hardly_http(
    pair: KMEPair, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with Raw(pair, "gw-a") as raw:
        raw.send(sent)
        raw.end()
        answer = await raw.answer()
    assert not answer or answer.split(b" ")[1] in {b"400", b"404"}
    assert "Traceback" not in caplog.text
    assert await stored(pair) == (100, 100)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /api/v1/keys/gw-b/status HTTP/1.1\r\n\r\n",
        b"GET /api/v1/keys/gw-b/status HTTP/1.0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
async def test_every_answer_says_the_same_of_who_serves(
    pair: KMEPair, sent: bytes
) -> None:
    """Those too that never get to the application, as one without Host."""
    async with Raw(pair, "gw-a") as raw:
        raw.send(sent)
        raw.end()
        answer = await raw.answer()
    servers = [line for line in answer.split(b"\r\n") if line.startswith(b"Server")]
    assert servers == [b"Server: qgw-kme"]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /api/v1/keys/gw-b/status HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
)
async def test_what_cannot_be_read_is_answered_as_other_errors(
    pair: KMEPair, sent: bytes
) -> None:
    async with Raw(pair, "gw-a") as raw:
        raw.send(sent)
        raw.end()
        head, _, body = (await raw.answer()).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: application/json" in lines
    assert b"Connection: close" in lines
    assert json.loads(body)["message"] == BAD_REQUEST


async def test_plain_http(pair: KMEPair) -> None:
    host, port = pair.alice.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/keys/gw-b/status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()


async def test_tls_1_1_is_refused(pair: KMEPair) -> None:
    context = tls_of(pair.credentials["gw-a"], pair.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Raw(pair, "gw-a", context) as raw:
        assert raw.version == "TLSv1.2"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await Raw(pair, "gw-a", old).__aenter__()


async def test_no_key_stands_in_a_log_or_an_error(
    pair: KMEPair, sae: Call, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)
    drawn = (await alice.draw("gw-b", 32)).keys
    assert (await bob.fetch("gw-a", *drawn)).keys == drawn
    await bob.fetch("gw-a", *drawn)
    await alice.draw("gw-b", 100)
    pair.bob.misbehaviour.start("wrong-keys")
    more = (await alice.draw("gw-b", 2)).keys
    await bob.fetch("gw-a", *more)
    assert "2 keys drawn for 'gw-a'" in caplog.text
    for key in (*drawn.values(), *more.values()):
        assert base64.b64encode(key).decode() not in caplog.text
        assert key.hex() not in caplog.text
        assert repr(key)[2:-1] not in caplog.text


async def test_refusals_do_not_fill_the_log(
    pair: KMEPair, sae: Call, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = sae("stranger", pair.alice.url)
    for _ in range(50):
        assert (await stranger.get("x" * 1000, "status")).status == 401
    lines = [each for each in caplog.messages if "not allowed" in each]
    assert 1 <= len(lines) < 10
    assert all(len(line) < 400 for line in lines)


async def test_a_fault_of_our_own_says_nothing(
    pair: KMEPair,
    sae: Call,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "deadbeef"

    def fail(*_: object) -> None:
        raise ValueError(secret)

    monkeypatch.setattr(pair.alice.core, "_given", fail)
    answer = await sae("gw-a", pair.alice.url).draw("gw-b")
    assert (answer.status, answer.document) == (
        503,
        {"message": "Error of server side"},
    )
    assert secret not in caplog.text
    assert "ValueError at" in caplog.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "number",
                    "size",
                    "key_IDs",
                    "key_ID",
                    "additional_slave_SAE_IDs",
                    "extension_mandatory",
                    "extension_optional",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
readers: list[Callable[[bytes], object]] = [
    lambda body: read_key_request(body, LIMITS),
    lambda body: read_key_ids(body, LIMITS),
]


@given(st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()))
def test_bodies_are_read_or_refused(body: bytes) -> None:
    for read in readers:
        refused = refusal(functools.partial(read, body))
        assert refused is None or (refused.status == 400 and refused.message)


@given(
    st.dictionaries(st.sampled_from(["number", "size", "key_ID"]), st.lists(st.text()))
)
def test_queries_are_read_or_refused(query: dict[str, list[str]]) -> None:
    for refused in (
        refusal(lambda: read_key_query(query, LIMITS)),
        refusal(lambda: read_key_id_query(query)),
    ):
        assert refused is None or refused.status == 400


def refusal(read: Callable[[], object]) -> RefusedError | None:
    try:
        read()
    except RefusedError as refused:
        return refused
    return None


class Raw:
    """A TLS connection to alice on which a test says what it likes."""

    def __init__(
        self, pair: KMEPair, sae_id: str, context: ssl.SSLContext | None = None
    ) -> None:
        credentials: TlsFiles = pair.credentials[sae_id]
        self._context = context or tls_of(credentials, pair.ca)
        host, port = pair.alice.url.removeprefix("https://").split(":")
        self._address = host, int(port)

    async def __aenter__(self) -> "Raw":
        self._reader, self._writer = await asyncio.open_connection(
            *self._address, ssl=self._context, server_hostname="localhost"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    @property
    def version(self) -> object:
        return self._writer.get_extra_info("ssl_object").version()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            self._writer.write(b"\r\n\r\n")

    async def answer(self) -> bytes:
        """Everything until the KME closes, which it must."""
        async with asyncio.timeout(10):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""
