"""Key bytes that cannot be printed by accident."""

import hmac
from typing import NoReturn, final


@final
class Secret:
    """Key material that hides itself from repr, str, format and pickle.

    The bytes are reached only through `expose`, so that a reader finds every
    use of a key by searching for one word. Comparison takes constant time.
    `wipe` overwrites the bytes; copies that a library made of them are out of
    reach, which is why the daemon also locks its memory and forbids core dumps.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        self._value = bytearray(value)

    def expose(self) -> bytes:
        """Return the key bytes, for the one call that needs them."""
        return bytes(self._value)

    def wipe(self) -> None:
        """Overwrite the bytes with zeros and forget their length."""
        self._value[:] = bytes(len(self._value))
        self._value.clear()

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # hashing would leak equality

    def __repr__(self) -> str:
        return "<SECRET>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be serialised")
