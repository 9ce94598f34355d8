"""JSON from a KME: read whole, strictly, within bounds (RFC 8259).

Stricter than `json.loads`: no member twice (parsers differ in which one counts), no NaN
or Infinity, bounded depth and numbers, UTF-8 only. What is wrong is said without the
text: `json.JSONDecodeError` and `UnicodeDecodeError` carry all of it.
"""

import json
import re
from typing import Any, NoReturn

from gateway.sources.http.limits import MAX_DEPTH, MAX_DIGITS
from gateway.sources.http.trouble import malformed

_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Strings, whole, so that brackets in them don't count; and brackets. Possessive, and
content with an open end, so that nothing is read twice."""


class _RefusedError(ValueError):
    """Raised by the hooks; its text is ours."""


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        body: The answer, at most as long as the caller allows.

    Raises:
        Trouble: ``MALFORMED``, with nothing of the text in it.
    """
    if not body.strip():
        raise malformed("the answer is empty")
    if body.lstrip()[:1] == b"<":
        raise malformed(
            "the answer is HTML or XML, not JSON",
            "something else than a KME answers at this URL: check host and port",
        )
    if _is_too_deep(body):
        raise malformed(f"the answer is nested more than {MAX_DEPTH} deep")
    deviation, value = _parse(body)
    if deviation:
        raise malformed(deviation)
    if not isinstance(value, dict):
        raise malformed("the answer is JSON, but not an object")
    return value


def _parse(body: bytes) -> tuple[str, object]:
    """Return what is wrong, or an empty string and the value."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
            parse_float=_bounded_float,
        )
    except UnicodeDecodeError:
        return "the answer is not UTF-8", None
    except _RefusedError as refused:
        return str(refused), None
    except (ValueError, RecursionError):
        return "the answer is not JSON", None
    return "", value


def _is_too_deep(body: bytes) -> bool:
    depth = 0
    for token in _TOKENS.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedError("the answer has a member twice in one object")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise _RefusedError("the answer has NaN or Infinity, which JSON does not know")


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _RefusedError(f"the answer has a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _bounded_float(digits: str) -> float:
    if len(digits) > 2 * MAX_DIGITS:
        raise _RefusedError("the answer has an overlong number")
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _RefusedError("the answer has a number out of range")
    return number
