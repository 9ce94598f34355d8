"""No part of a key may show, whatever is printed."""

import base64
import traceback
from collections.abc import Awaitable, Iterable

import pytest

from gateway.errors import KeySourceError, SourceFault

WINDOW = 8
"""Characters of an encoded key that are already too many."""


def shown_parts(text: str, keys: Iterable[bytes]) -> list[str]:
    """Return the parts of keys that a text shows, in any of the usual encodings."""
    found = []
    for key in keys:
        encodings = (
            base64.b64encode(key).decode().rstrip("="),
            key.hex(),
            key.hex().upper(),
            repr(key)[2:-1],
        )
        for encoded in encodings:
            found += [
                encoded[at : at + WINDOW]
                for at in range(len(encoded) - WINDOW + 1)
                if encoded[at : at + WINDOW] in text
            ]
    return found


def everything_of(error: BaseException) -> str:
    """Print an error as the most talkative reporter would, frames' variables too."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain = f"{error.__cause__!r} {error.__context__!r}"
    return f"{error} {error!r} {vars(error)!r} {chain} {''.join(told.format())}"


async def failure_of(call: Awaitable[object]) -> KeySourceError:
    """Await a call that must fail with a `KeySourceError`, which leads nowhere else."""
    with pytest.raises(KeySourceError) as caught:
        await call
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


async def fault_of(call: Awaitable[object]) -> SourceFault:
    """Await a call that must fail, and say with what fault."""
    return (await failure_of(call)).fault
