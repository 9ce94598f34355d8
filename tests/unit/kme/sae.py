"""An SAE as tests have it: says what it wants, and keeps what came back."""

import base64
import io
import json
from dataclasses import dataclass

import aiohttp
from yarl import URL


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def document(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def message(self) -> object:
        return self.document["message"]

    @property
    def keys(self) -> dict[str, bytes]:
        """Keys by key_ID; the answer must be right in every detail."""
        assert self.status == 200, self.body
        assert self.headers["Content-Type"] == "application/json"
        assert set(self.document) == {"keys"}
        entries = self.document["keys"]
        assert isinstance(entries, list)
        assert all(set(entry) == {"key_ID", "key"} for entry in entries)
        keys = {
            entry["key_ID"]: base64.b64decode(entry["key"], validate=True)
            for entry in entries
        }
        assert len(keys) == len(entries)
        return keys


class SAE:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        # As it stands: dots and %2F are what the test is about.
        url = URL(self._url + path, encoded=True)
        async with self._session.request(
            method,
            url,
            data=io.BytesIO(body) if body is not None else None,
            headers=headers,
            allow_redirects=False,
        ) as response:
            return Answer(
                response.status, await response.read(), dict(response.headers)
            )

    async def get(self, other: str, call: str, query: str = "") -> Answer:
        return await self.call("GET", f"/api/v1/keys/{other}/{call}{query}")

    async def post(self, other: str, call: str, document: object) -> Answer:
        body = (
            document if isinstance(document, bytes) else json.dumps(document).encode()
        )
        return await self.call(
            "POST",
            f"/api/v1/keys/{other}/{call}",
            body=body,
            headers={"Content-Type": "application/json"},
        )

    async def draw(self, other: str, number: int = 1, size: int = 256) -> Answer:
        return await self.post(other, "enc_keys", {"number": number, "size": size})

    async def fetch(self, other: str, *key_ids: str) -> Answer:
        entries = [{"key_ID": key_id} for key_id in key_ids]
        return await self.post(other, "dec_keys", {"key_IDs": entries})
