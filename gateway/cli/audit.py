"""A line in the journal for what a command changes without the daemon.

It has the form, and the fields, of the daemon's own line for each request that changes
something. Where no journal runs there is nobody to tell.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.errors import GatewayError

IDENTIFIER: Final = "qgw"
"""Who logs: ``journalctl -t qgw``, or both with the daemon's ``QGW_EVENT=command``."""


@contextmanager
def audited(act: str, **about: object) -> Iterator[None]:
    """Note an act, done or refused, when it is over.

    Args:
        act: What was done, as the daemon names its methods: ``identity.new``.
        about: What it concerns: names and paths, never anything secret.
    """
    try:
        yield
    except GatewayError as error:
        _note(act, about, f"error: {error.message}")
        raise
    _note(act, about, "done")


def _note(act: str, about: dict[str, object], result: str) -> None:
    # What only this needs is not read by every other command.
    import logging  # noqa: PLC0415

    from gateway.cli.second_login import read_login  # noqa: PLC0415
    from gateway.control.peer import name_user  # noqa: PLC0415
    from gateway.control.words import said, word  # noqa: PLC0415
    from gateway.host import journal  # noqa: PLC0415
    from gateway.host.logging import FIELDS  # noqa: PLC0415

    user = name_user(read_login())
    words = [act, *(f"{name}={word(of)}" for name, of in about.items())]
    record = logging.LogRecord(
        __name__,
        logging.INFO,
        __file__,
        0,
        "%s",
        (said(user, os.getpid(), " ".join(words), result),),
        None,
    )
    record.__dict__.update(event="command", user=user)
    handler = journal.JournalHandler(
        FIELDS, journal.JOURNAL_SOCKET, identifier=IDENTIFIER
    )
    handler.emit(record)
    handler.close()
