"""Lines of who did what: no value of a caller makes a second one, or hides a part."""

import pytest

from gateway.control.audit import describe
from gateway.control.protocol import Request
from gateway.control.words import one_line, outcome, said, word


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


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "done"),
        ({"changed": ["a-b"], "failed": {}}, "done"),
        (
            {"changed": [], "failed": {"a-b": "stays as it was: taken"}},
            "1 failed: a-b: stays as it was: taken",
        ),
        (
            {"failed": dict.fromkeys("abcdef", "why")},
            "6 failed: a: why; b: why; c: why; d: why; and 2 more",
        ),
        ({"added": 3, "refused": []}, "done"),
        ({"added": 3, "refused": [{}]}, "done in part: 1 key refused"),
        ({"added": 0, "refused": [{}, {}]}, "nothing done: 2 keys refused"),
        ({"drawn": 2, "refused": {}, "error": ""}, "done"),
        ({"drawn": 2, "refused": {"used": 3}}, "done in part: 3 keys refused"),
        ({"drawn": 0, "refused": {}, "error": "no key"}, "nothing done: no key"),
        (
            {"what": "purge", "asked_by": "eve", "result": {"erased": 3}},
            "done, as eve asked: purge",
        ),
        (
            {"what": "take x", "asked_by": "eve", "result": {"failed": {"a": "b"}}},
            "1 failed: a: b, as eve asked: take x",
        ),
    ],
)
def test_what_came_of_it_is_what_was_answered(answer: object, words: str) -> None:
    assert outcome(answer) == words
