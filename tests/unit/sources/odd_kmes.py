"""Odd KMEs of two makes: one that obeys a test, and our own, told to misbehave.

Each row of a trial runs against both: the first is odd in whatever way a test writes
down, the second shows that our KME's modes are those oddities.
"""

import asyncio
from typing import Any, Protocol

from doubles.kme_pair import KMEPair

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from tests.unit.sources.hostile import Asked, HostileKME, container, reply

WORDS = "the pool is locked"


class OddKME(Protocol):
    """A KME with a pool, and ways to be odd."""

    @property
    def link(self) -> LinkConfig:
        """The link that leads to it."""

    @property
    def left(self) -> int:
        """Keys that it says it has."""

    async def add(self, count: int) -> None:
        """Let its fibre give keys."""

    def keep_one(self, status: int) -> None:
        """Give all keys but one, and refuse the rest so."""

    def leave_out_padding(self) -> None:
        """Write base64 without its padding."""

    def fail(self, member: str = "detail") -> None:
        """Answer everything 500, with its words in a member, or as a problem."""

    def tell_no_status(self) -> None:
        """Have no status call."""

    def name_no_peer(self) -> None:
        """Say ``"target_KME_ID": 0``."""

    def serve_pages(self) -> None:
        """Answer everything with pages of HTML."""

    def be_honest(self) -> None:
        """Misbehave no more."""


class FakeOddKME:
    """The one that obeys a test; it refuses what it would not give as a whole."""

    def __init__(self, kme: HostileKME, link: LinkConfig) -> None:
        self.link = link
        self.left = 0
        self._kme = kme
        self._kept, self._status, self._is_padded = 0, 503, True
        kme.replies["enc_keys"] = [self._answer]
        kme.status["stored_key_count"] = 0

    async def add(self, count: int) -> None:
        self.left += count
        self._kme.status["stored_key_count"] = self.left

    def keep_one(self, status: int) -> None:
        self._kept, self._status = 1, status

    def leave_out_padding(self) -> None:
        self._is_padded = False

    def fail(self, member: str = "detail") -> None:
        body = {"problem": {"type": "about:blank", "title": WORDS, "status": 500}}
        for call in ("enc_keys", "status"):
            found = body.get(member, {member: WORDS})
            self._kme.replies[call] = [reply(found, 500)]

    def tell_no_status(self) -> None:
        self._kme.replies["status"] = [reply({"detail": "Not Found"}, 404)]

    def name_no_peer(self) -> None:
        self._kme.status["target_KME_ID"] = 0

    def serve_pages(self) -> None:
        for call in ("enc_keys", "dec_keys", "status"):
            self._kme.replies[call] = [reply(b"<html>key not found</html>", 404)]

    def be_honest(self) -> None:
        self._kept, self._is_padded = 0, True
        self._kme.replies.clear()
        self._kme.replies["enc_keys"] = [self._answer]

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        number = asked.members["number"]
        if number > self.left - self._kept:
            writer.write(reply({"message": "the request was declined"}, self._status))
            return
        await self.add(-number)
        document: dict[str, Any] = container(
            [self._kme.new_key() for _ in range(number)]
        )
        if not self._is_padded:
            for entry in document["keys"]:
                entry["key"] = entry["key"].rstrip("=")
        writer.write(reply(document))


class OwnOddKME:
    """Our KME, by its modes of misbehaviour."""

    def __init__(self, pair: KMEPair) -> None:
        files = pair.credentials["gw-a"]
        config = KMEConfig(
            (pair.alice.url,),
            "gw-a",
            "gw-b",
            pair.ca,
            files.certificate,
            files.private_key,
        )
        self.link = LinkConfig("redu-betzdorf", LinkSource.ETSI014, kme=config)
        self._pair = pair

    @property
    def left(self) -> int:
        return self._pair.alice.core.stored

    async def add(self, count: int) -> None:
        await self._pair.make_keys(2 * count)  # each end has a half to draw from

    def keep_one(self, status: int) -> None:
        self._pair.alice.misbehaviour.start(
            "keeps-one" if status == 503 else f"keeps-one-{status}"
        )

    def leave_out_padding(self) -> None:
        self._pair.alice.misbehaviour.start("unpadded")

    def fail(self, member: str = "detail") -> None:
        self._pair.alice.misbehaviour.start(f"500-{member}")

    def tell_no_status(self) -> None:
        self._pair.alice.misbehaviour.start("no-status")

    def name_no_peer(self) -> None:
        self._pair.alice.misbehaviour.start("zero-kme-id")

    def serve_pages(self) -> None:
        self._pair.alice.misbehaviour.start("html")

    def be_honest(self) -> None:
        self._pair.alice.misbehaviour.stop()
