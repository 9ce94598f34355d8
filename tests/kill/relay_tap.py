"""Lies between the nodes of a relay and writes down every byte that passes."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Mapping
from pathlib import Path

Way = tuple[str, str]


class Tap:
    """Joins each way's port to the port of the node it leads to."""

    def __init__(
        self, folder: Path, ports: Mapping[str, int], ways: Mapping[Way, socket.socket]
    ) -> None:
        self._folder = folder
        self._ports = ports
        self._ways = ways
        self._numbers = itertools.count()

    async def run(self) -> None:
        for (sender, receiver), sock in self._ways.items():
            await asyncio.start_server(self._join(sender, receiver), sock=sock)
        await asyncio.Event().wait()

    def _join(self, sender: str, receiver: str):  # type: ignore[no-untyped-def]
        async def join(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            name = f"{sender}-{receiver}-{next(self._numbers)}"
            onward: asyncio.StreamWriter | None = None
            with contextlib.suppress(OSError):
                back, onward = await asyncio.open_connection(
                    "127.0.0.1", self._ports[receiver]
                )
                # A node that dies closes; so does the sender's side then.
                closing = asyncio.create_task(self._close_after(back, writer))
                with (self._folder / name).open("wb", buffering=0) as record:
                    while data := await reader.read(1 << 16):
                        record.write(data)
                        onward.write(data)
                        await onward.drain()
                closing.cancel()
            for end in (onward, writer):
                if end is not None:
                    end.close()

        return join

    @staticmethod
    async def _close_after(
        back: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            if await back.read(1):
                raise AssertionError("a node answered on a connection to it")
        writer.close()
