"""The words of a line that says who asked for what: one line, whatever they held."""

from collections.abc import Mapping
from typing import Final

from gateway.units import plural

MAX_VALUE: Final = 64
"""Characters repeated of a value, which its caller chose."""

_MAX_FAILURES: Final = 4
"""Failures of one act that are named; a hub may have one for each tunnel."""

_PLAIN: Final = frozenset("._-/:@+,=[]")


def word(value: object) -> str:
    """Return a caller's value as one word: quoted where it could pass for more."""
    text = str(value)[:MAX_VALUE]
    if all(each.isalnum() or each in _PLAIN for each in text):
        return text
    quoted = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{one_line(quoted)}"'


def one_line(text: str) -> str:
    """Return text whose line breaks, control and direction characters are visible."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def said(user: str, pid: int, what: str, result: str) -> str:
    """Return the line: ``alice, pid 12: tunnel.down name=paris: done``."""
    return f"{one_line(user)}, pid {pid}: {one_line(what)}: {one_line(result)}"


def outcome(result: object) -> str:
    """Return what came of an act that was answered: done, or what of it was not."""
    answer = result if isinstance(result, Mapping) else {}
    if isinstance(answer.get("result"), Mapping):  # what a second person confirmed
        words = outcome(answer["result"])
        return f"{words}, as {answer.get('asked_by')} asked: {answer.get('what')}"
    failed, refused = answer.get("failed"), answer.get("refused")
    if failed and isinstance(failed, Mapping):
        named = [f"{name}: {why}" for name, why in failed.items()]
        more = len(named) - _MAX_FAILURES
        named[_MAX_FAILURES:] = [f"and {more} more"] if more > 0 else []
        return f"{len(failed)} failed: {'; '.join(named)}"
    came = answer.get("added", answer.get("drawn"))
    word = "nothing done" if came == 0 else "done in part"
    if error := answer.get("error"):
        return f"{word}: {error}"
    if refused:
        counts = refused.values() if isinstance(refused, Mapping) else ()
        return f"{word}: {plural(sum(counts) or len(refused), 'key')} refused"
    return "done"
