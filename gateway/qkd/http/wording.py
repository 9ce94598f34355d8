"""What a KME says went wrong, as far as it can be repeated.

A KME's own message is what an operator needs most, and it comes from outside: whatever
looks like a key, an ID or a token in it is left out.
"""

import re
from collections.abc import Mapping

from gateway.qkd.http.limits import MAX_MESSAGE

_LONG = 12
"""Characters of a word that is left out unless it is plainly a word: 12 of base64 are
72 bits of a key."""

_LONGEST = 24
"""Characters of a plain word; the standard's messages have "extension_mandatory"."""

_PAGE = 2048
"""Bytes of an error page that are read; nginx's own have some 200."""

_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(rf"[A-Za-z0-9+/=_\-]{{{_LONG},}}")
_PLAIN = re.compile(r"[A-Z]?[a-z]+(?:[_\-][a-z]+)*")
_PLAIN_NAMES = frozenset({"additional_slave_SAE_IDs", "max_key_per_request"})
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:,.\-]?){6,}")


def message_of(members: Mapping[str, object]) -> str:
    """Return the ``message`` of an error (ETSI 014 V1.1.1, 6.5), or an empty string."""
    said = members.get("message")
    return said if isinstance(said, str) else ""


def text_of_page(body: bytes) -> str:
    """Return the words of an error page: what stands before a KME answers in HTML."""
    text = body[:_PAGE].decode("ascii", "replace")
    return " ".join(_TAG.sub(" ", text).split())


def repeatable(said: str) -> str:
    """Return what can be shown of a KME's words: one line, without what may be a key.

    Args:
        said: Any text.

    Returns:
        At most `MAX_MESSAGE` printable ASCII characters, possibly none.
    """
    line = " ".join(said[: 4 * MAX_MESSAGE].split())
    line = "".join(c if " " <= c <= "~" else "?" for c in line)
    line = _HEX.sub("[...]", _WORD.sub(_veil, line))
    if len(line) > MAX_MESSAGE:
        line = line[:MAX_MESSAGE].rstrip() + " ..."
    return line


def quoted(said: str) -> str:
    """Return ``: "words"`` to stand at the end of a message, or an empty string."""
    line = repeatable(said)
    return f': "{line}"' if line else ""


def _veil(word: re.Match[str]) -> str:
    text = word[0]
    is_plain = len(text) <= _LONGEST and _PLAIN.fullmatch(text)
    if is_plain or text in _PLAIN_NAMES:
        return text
    return "[...]"
