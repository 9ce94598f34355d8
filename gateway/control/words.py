"""The words of a line that says who asked for what: one line, whatever they held."""

from typing import Final

MAX_VALUE: Final = 64
"""Characters repeated of a value, which its caller chose."""

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
