"""A second person for what root does without the daemon.

There is nobody to hold the request, so a file in the daemon's state folder does, and
people are told apart by their login (the kernel's ``loginuid``, else what sudo says).
Root can forge both: this keeps one person from doing by mistake what takes two.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Final

from gateway.config.defaults import DEFAULT_CONFIRMING
from gateway.config.files import peek
from gateway.errors import GatewayError
from gateway.keystore.clock import load_boot_id
from gateway.units import duration

_NO_LOGIN: Final = 2**32 - 1
"""What ``loginuid`` says of a process that no login started (proc(5))."""

_MAX_FILE: Final = 256
"""Bytes read of a request, which has some 100: too few to nest deeper than a parser
goes."""


def require_second_login(config: Path, state_dir: Path, act: str) -> None:
    """Go on if an act needs no second person, or another login asked for it before.

    Raises:
        GatewayError: It needs one; the request is noted.
    """
    try:
        acts = peek(config, "gateway", "second_person")
        within = peek(config, "gateway", "second_person_within")
    except OSError:
        return
    if not isinstance(acts, list) or act not in acts:
        return
    seconds = float(within) if isinstance(within, int | float) else DEFAULT_CONFIRMING
    login = read_login()
    path = state_dir / f"{act}.request"
    first = _read_request(path, seconds)
    if first is not None and first != login:
        path.unlink(missing_ok=True)
        return
    _write_request(path, login)
    raise GatewayError(
        "a second person must confirm this",
        f"within {duration(seconds)} another user runs the same command",
    )


def read_login() -> int:
    """Return the user who logged in, whoever they have become since."""
    with contextlib.suppress(OSError, ValueError):
        login = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
        if login != _NO_LOGIN:
            return login
    with contextlib.suppress(KeyError, ValueError):
        return int(os.environ["SUDO_UID"])
    return os.getuid()


def _read_request(path: Path, within: float) -> int | None:
    """Return the login that asked in time, or None."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MAX_FILE))
        login, boot, at = int(found["login"]), str(found["boot"]), float(found["at"])
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError):
        return None
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - at
    return login if boot == load_boot_id() and 0 <= age <= within else None


def _write_request(path: Path, login: int) -> None:
    at = time.clock_gettime(time.CLOCK_BOOTTIME)
    text = json.dumps({"login": login, "boot": load_boot_id(), "at": at})
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise GatewayError(
            f"cannot note the request in {path}: {os.strerror(error.errno or 0)}"
        ) from None
