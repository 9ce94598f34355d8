"""A KME that does as a test says, byte by byte, over real TLS.

By itself it is a good one: it draws keys from a pool and serves them once. A test puts
something else in the place of one call's answer.
"""

import asyncio
import base64
import contextlib
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid4

from tests.unit.sources.certificates import Files

_LAST_WORDS = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        method: ``GET`` or ``POST``.
        target: Path and query as they came.
        headers: By lower-case name.
        body: What followed.
        connection: Number of the connection it came by.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def call(self) -> str:
        """``status``, ``enc_keys``, ``dec_keys``, ``key``, ``capabilities``..."""
        parts = urlsplit(self.target).path.strip("/").split("/")
        return "key" if parts[0] == "key" else parts[-1]

    @property
    def sae_id(self) -> str:
        """The SAE ID in the path."""
        return unquote(urlsplit(self.target).path.split("/")[-2])

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return {n: v[0] for n, v in parse_qs(urlsplit(self.target).query).items()}

    @property
    def members(self) -> dict[str, Any]:
        """The JSON body."""
        return dict(json.loads(self.body)) if self.body else {}


Answering = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request; the connection ends when it raises `ConnectionError`."""


def reply(
    content: object, status: int = 200, *, headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """Write an answer: JSON, or bytes as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    if not any(name.lower() == "content-length" for name, _value in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class HostileKME:
    """A KME on a loopback port.

    Attributes:
        files: Its certificate and key, or None to speak plain TCP.
        client_ca: PEM file of the CA it wants clients' certificates from.
        pool: Keys not served yet, by key_ID.
        asked: What was asked, in order.
        replies: Answers to one call, in order, instead of good ones: bytes, or a
            function; the last one stays.
        status: Members of the status answer.
        connections: How many were opened.
        context: The server's TLS context, made by `start` unless given.
    """

    files: Files | None
    client_ca: str = ""
    pool: dict[UUID, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    replies: dict[str, list[bytes | Answering]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    connections: int = 0
    context: ssl.SSLContext | None = None
    made: list[bytes] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        """Listen on a port of the kernel's choice."""
        if self.context is None and self.files is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(self.files.certificate, self.files.private_key)
            if self.client_ca:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(self.client_ca)
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self.context
        )

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"https://127.0.0.1:{self.port}"

    def calls(self, name: str) -> list[Asked]:
        """Requests of one call."""
        return [asked for asked in self.asked if asked.call == name]

    def new_key(self) -> tuple[UUID, bytes]:
        """Make a key that nobody has yet."""
        key_id, key = uuid4(), os.urandom(32)
        self.made.append(key)
        return key_id, key

    def fill(self, count: int) -> list[UUID]:
        """Put keys in the pool, for dec_keys."""
        keys = dict(self.new_key() for _ in range(count))
        self.pool.update(keys)
        return list(keys)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while True:
                asked = await _read_request(reader, number)
                self.asked.append(asked)
                await self._answer(asked, writer)
                await writer.drain()
        except (ConnectionError, EOFError, ssl.SSLError, TimeoutError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        planned = self.replies.get(asked.call)
        if planned:
            answer = planned.pop(0) if len(planned) > 1 else planned[0]
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(asked, writer)
            return
        writer.write(self.good_answer(asked))

    def good_answer(self, asked: Asked) -> bytes:
        """Answer as a good KME does."""
        if asked.call == "status":
            return reply(self.status_members())
        if asked.call == "enc_keys":
            number = int((asked.members or asked.query).get("number", 1))
            return reply(container([self.new_key() for _ in range(number)]))
        if asked.call == "dec_keys":
            wanted = asked.members.get("key_IDs") or [asked.query]
            ids = [UUID(one["key_ID"]) for one in wanted]
            if any(key_id not in self.pool for key_id in ids):
                said = "one or more keys specified are not found on KME"
                return reply({"message": said}, 400)
            return reply(container([(i, self.pool.pop(i)) for i in ids]))
        return reply({"message": "no such call"}, 404)

    def status_members(self) -> dict[str, Any]:
        """The status, complete."""
        return {
            "source_KME_ID": "kme-redu",
            "target_KME_ID": "kme-betzdorf",
            "master_SAE_ID": "sae-redu",
            "slave_SAE_ID": "sae-betzdorf",
            "key_size": 256,
            "stored_key_count": 25_000,
            "max_key_count": 100_000,
            "max_key_per_request": 128,
            "max_key_size": 1024,
            "min_key_size": 64,
            "max_SAE_ID_count": 0,
            **self.status,
        }


def container(keys: list[tuple[UUID, bytes]]) -> dict[str, Any]:
    """Write a key container."""
    return {
        "keys": [
            {"key_ID": str(key_id), "key": base64.b64encode(key).decode()}
            for key_id, key in keys
        ]
    }


async def _read_request(reader: asyncio.StreamReader, number: int) -> Asked:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, _version = first.split(" ")
    headers = {n.lower(): v.strip() for n, v in (ln.split(":", 1) for ln in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body, number)
