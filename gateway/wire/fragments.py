"""Messages larger than a datagram: split by the sender, rejoined under bounds."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import ProtocolError
from gateway.wire.header import MAX_MESSAGE_SIZE, Type, encode_header

MAX_ASSEMBLIES: Final = 1024
"""Messages under reassembly at once, 4 MiB at most; beyond it the oldest goes."""

ASSEMBLY_TIMEOUT: Final = 5.0
"""Seconds; a sender whose fragments are spread wider than this sends them again."""


def split_message(message: bytes, size: int) -> list[bytes]:
    """Cut a message into bodies of at most `size` bytes, none of them empty."""
    return [message[i : i + size] for i in range(0, len(message), size)]


def number_fragments(
    kind: Type, session_id: bytes, bodies: list[bytes]
) -> Iterator[bytes]:
    """Yield each body behind the header that says which of the message it is."""
    for index, body in enumerate(bodies):
        yield encode_header(kind, session_id, index, len(bodies)) + body


@dataclass(slots=True)
class _Assembly:
    deadline: float
    size: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)


class Reassembler:
    """Rejoins fragments, bounded in number, bytes and time.

    Invariants: at most `MAX_ASSEMBLIES` messages, each at most `MAX_MESSAGE_SIZE`
    bytes, each gone at its deadline; the first copy of a fragment counts.
    """

    def __init__(self, limit: int = MAX_ASSEMBLIES) -> None:
        self._limit = limit
        self._assemblies: dict[Hashable, _Assembly] = {}

    def __len__(self) -> int:
        return len(self._assemblies)

    def add(
        self, key: Hashable, index: int, count: int, body: bytes, *, now: float
    ) -> bytes | None:
        """Add one fragment; return the whole message once it is complete.

        Args:
            key: What the fragments of one message have in common.
            index: Position of this fragment.
            count: Number of fragments.
            body: Its bytes.
            now: Current time, seconds.

        Raises:
            ProtocolError: ``oversized``.
        """
        if count == 1:
            return body
        # A fragment with another count is of another message: one that is forged
        # must not hold up the honest ones until the deadline.
        key = (key, count)
        assembly = self._assemblies.get(key)
        if assembly is None or assembly.deadline <= now:
            self._make_room(now)
            self._assemblies.pop(key, None)
            assembly = _Assembly(now + ASSEMBLY_TIMEOUT)
            self._assemblies[key] = assembly
        if index in assembly.parts:
            return None
        if assembly.size + len(body) > MAX_MESSAGE_SIZE:
            del self._assemblies[key]
            raise ProtocolError("oversized")
        assembly.parts[index] = body
        assembly.size += len(body)
        if len(assembly.parts) < count:
            return None
        del self._assemblies[key]
        return b"".join(assembly.parts[i] for i in range(count))

    def _make_room(self, now: float) -> None:
        """Drop what is overdue, oldest first, and the oldest when still full.

        Insertion order is deadline order, so this stops at the first that lives.
        """
        while self._assemblies:
            key, oldest = next(iter(self._assemblies.items()))
            if oldest.deadline > now and len(self._assemblies) < self._limit:
                return
            del self._assemblies[key]
