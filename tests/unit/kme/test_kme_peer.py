"""A peer KME that lies, stalls or babbles: said, and nothing believed."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.kme import peer as peer_module
from gateway.kme.link import LinkState
from gateway.kme.marks import MAX_MARK, BehindError, DrawnKeys, Marks
from gateway.kme.peer import PeerClient, PeerError
from gateway.kme.peer_messages import MAX_MESSAGE, MarksMessage, decode_marks
from gateway.kme.pki import LaboratoryPKI
from gateway.kme.tls import client_context, server_context

DRAWING = DrawnKeys(10, 4, 1, 256, "gw-a", "gw-b")
MESSAGE = MarksMessage("link", Marks((5, 6), (1, 2)), 100, 256)
GOOD: dict[str, object] = {**MESSAGE.encode()}


class Liar:
    """Answers every call as told, with bob's own certificate."""

    def __init__(self) -> None:
        self.status, self.body, self.delay = 200, b"{}", 0.0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        await asyncio.sleep(self.delay)
        headers = {"Location": f"{self.url}/elsewhere"} if self.status == 307 else {}
        return web.Response(status=self.status, body=self.body, headers=headers)


@pytest.fixture
async def liar(pki: LaboratoryPKI) -> AsyncIterator[Liar]:
    made = Liar()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    files = pki.kmes["kme-bob"]
    context = server_context(files.certificate, files.private_key, files.ca)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    made.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client(liar: Liar, pki: LaboratoryPKI) -> AsyncIterator[PeerClient]:
    files = pki.kmes["kme-alice"]
    context = client_context(files.certificate, files.private_key, files.ca)
    made = PeerClient(liar.url, context, "link")
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"{}"),
        (204 + 1, b""),
        (307, b""),
        (400, b'{"message": "no"}'),
        (404, b"<html>"),
        (409, b"{}"),
        (409, b'{"drawn": 10}'),  # not beyond what was asked
        (409, b'{"drawn": 9}'),
        (409, b'{"drawn": "11"}'),
        (409, b'{"drawn": true}'),
        (409, json.dumps({"drawn": MAX_MARK + 1}).encode()),
        (409, b"x" * (MAX_MESSAGE + 1)),
        (409, b"[" * 10_000),
        (500, b"\xff"),
        (503, b'{"message": "a\\nb"}'),
    ],
)
async def test_an_announcement_that_was_not_noted(
    liar: Liar, client: PeerClient, status: int, body: bytes
) -> None:
    liar.status, liar.body = status, body
    with pytest.raises(PeerError) as caught:
        await client.announce(DRAWING)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


async def test_an_announcement(liar: Liar, client: PeerClient) -> None:
    liar.status = 204
    liar.body = b""
    await client.announce(DRAWING)
    liar.status, liar.body = 409, b'{"drawn": 11}'
    with pytest.raises(BehindError) as behind:
        await client.announce(DRAWING)
    assert behind.value.drawn == 11
    for status in (401, 403):
        liar.status, liar.body = status, b""
        with pytest.raises(PeerError) as caught:
            await client.announce(DRAWING)
        assert caught.value.refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("link_id", ""),
        ("link_id", 7),
        ("made", [1]),
        ("made", [1, 2, 3]),
        ("made", [1, -2]),
        ("made", ["1", 2]),
        ("drawn", None),
        ("drawn", [0, MAX_MARK + 1]),
        ("max_key_count", 0),
        ("max_key_count", 1.5),
        ("key_size", 8),
        ("link", {"state": "on fire"}),
        ("link", {"state": "up", "qber": "low"}),
        ("link", {"state": "up", "qber": None, "secret_rate": True}),
        (
            "link",
            {
                "state": "up",
                "qber": 0.1,
                "secret_rate": 1,
                "alarm": "\x1b[2J",
                "description": "",
            },
        ),
    ],
)
async def test_marks_that_cannot_be(
    liar: Liar, client: PeerClient, name: str, value: object
) -> None:
    liar.body = json.dumps({**GOOD, name: value}).encode()
    with pytest.raises(PeerError, match="talks nonsense"):
        await client.exchange(MESSAGE)


async def test_marks(liar: Liar, client: PeerClient) -> None:
    link = {
        "state": "eavesdropped",
        "qber": 0.25,
        "secret_rate": 0,
        "alarm": "someone listens",
        "description": "a fibre",
    }
    liar.body = json.dumps({**GOOD, "link": link, "unknown": 1}).encode()
    told = await client.exchange(MESSAGE)
    assert told.marks == MESSAGE.marks
    assert told.link is not None
    assert told.link.state is LinkState.EAVESDROPPED
    assert decode_marks(told.encode()) == told


async def test_a_peer_that_stalls(
    liar: Liar, client: PeerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_module, "TIMEOUT", 0.2)
    liar.delay = 1.0
    with pytest.raises(PeerError, match="did not answer within"):
        await client.announce(DRAWING)


async def test_a_peer_that_is_not_there(pki: LaboratoryPKI) -> None:
    files = pki.kmes["kme-alice"]
    context = client_context(files.certificate, files.private_key, files.ca)
    client = PeerClient("https://127.0.0.1:1", context, "link")
    with pytest.raises(PeerError, match="not reachable"):
        await client.switch_link("down")
    await client.close()
