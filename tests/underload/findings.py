"""What no load excuses: plain text on a wire, a one-time key used twice.

A test that fails may have failed for being late, before it came to look at what must
never be. So whoever sees such a thing tells it here at once, and the plugin repeats no
attempt in which something was told.
"""

_told: list[str] = []


def tell(what: str) -> None:
    """Note that something happened that must never happen."""
    _told.append(what)


def never(found: object, what: str) -> None:
    """Fail, and without an excuse, if something was found.

    Raises:
        AssertionError: It was.
    """
    if found:
        tell(f"{what}: {found}")
        raise AssertionError(f"{what}: {found}")


def told() -> list[str]:
    """Return what was noted since the last `forget`."""
    return list(_told)


def forget() -> None:
    """Begin anew."""
    _told.clear()
