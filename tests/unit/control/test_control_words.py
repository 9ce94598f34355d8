"""Lines of who did what: no value of a caller makes a second one, or hides a part."""

import pytest

from gateway.control.audit import describe
from gateway.control.protocol import Request
from gateway.control.words import one_line, said, word


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("paris", "paris"),
        ("/etc/qgw/identity.key", "/etc/qgw/identity.key"),
        (3, "3"),
        ("x\nroot, pid 1: tunnel.down: done", r'"x\nroot, pid 1: tunnel.down: done"'),
        ("x: done", '"x: done"'),
        ('a" b', '"a\\" b"'),
        ('a\\" b', r'"a\\\" b"'),
        (r"a\n", r'"a\\n"'),
        ("", ""),
        ("\x1b[2J", r'"\x1b[2J"'),
        ("\u202eevil", r'"\u202eevil"'),
        ("\u2028", r'"\u2028"'),
    ],
)
def test_a_value_stays_one_word_of_one_line(value: object, shown: str) -> None:
    assert word(value) == shown
    request = Request(1, "tunnel.down", {"name": value})
    assert describe(request) == f"tunnel.down name={shown}"


def test_a_method_and_a_result_are_cleaned_too() -> None:
    assert describe(Request(1, "a\nb", {})) == r'"a\nb"'
    line = said("eve\n", 7, "a\rb", "error: no tunnel \x1b\u202e")
    assert line == r"eve\n, pid 7: a\rb: error: no tunnel \x1b\u202e"
    assert one_line(line) == line
