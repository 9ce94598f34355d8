"""The plan on disk, for a boot before the daemon runs.

A small JSON file without secrets, replaced as a whole: whoever reads it finds the old
plan or the new one.
"""

import json
import os
from dataclasses import asdict, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from gateway.config.private_files import PUBLIC_MODE, read_trusted_file
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.errors import GatewayError, IdentityError

FILE_NAME: Final = "fence.json"
"""In state_dir."""

_VERSION: Final = 1
_MAX_SIZE: Final = 1 << 26
"""Bytes read; 5,000 tunnels of ten prefixes make 2 MB."""

_FRESH: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_TRUNC
    | os.O_CLOEXEC
    | os.O_NOFOLLOW
    | os.O_NONBLOCK  # or a FIFO in its place would hold the planes' thread for ever
)

_MAX_PORT: Final = 65_535


def write_plan(path: Path, plan: FencePlan) -> None:
    """Replace the file, durably.

    Raises:
        GatewayError: The folder or the disk refuses.
    """
    lasting = asdict(replace(plan, homes=()))
    del lasting["homes"]  # what is connected shows once the network is up
    data = json.dumps({"version": _VERSION, **lasting}, indent=1).encode("ascii")
    fresh = path.with_suffix(".new")
    try:
        with os.fdopen(os.open(fresh, _FRESH, PUBLIC_MODE), "wb") as file:
            os.fchmod(file.fileno(), PUBLIC_MODE)
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise GatewayError(
            f"cannot write {path}: {os.strerror(error.errno or 0)}",
            "a boot would go by the older one and by the configuration; free the disk",
        ) from None


def read_plan(path: Path) -> FencePlan:
    """Return the plan in the file; an empty one if there is no file.

    Raises:
        GatewayError: The file cannot be read, is no plain one, is writable by others,
            or holds something else.
    """
    try:
        data = read_trusted_file(path, _MAX_SIZE)
    except IdentityError:
        if not os.path.lexists(path):
            return FencePlan()
        raise
    try:
        return _plan_of(json.loads(data))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise GatewayError(
            f"{path} is damaged", "start qgwd: it writes the file anew"
        ) from None


def _plan_of(value: Any) -> FencePlan:  # noqa: ANN401  # JSON
    if value["version"] != _VERSION:
        raise ValueError
    return FencePlan(
        tunnels=tuple(
            FencedTunnel(
                _name(tunnel["name"]),
                _prefixes(tunnel["remote"]),
                _prefixes(tunnel["local"]),
            )
            for tunnel in _list(value["tunnels"])
        ),
        exempt=_prefixes(value["exempt"]),
        ports=tuple(map(_port, _list(value["ports"]))),
        # Before there was such a list, all that was connected was accepted.
        accepted=_prefixes(value.get("accepted", value["exempt"])),
    )


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.replace("-", "a").isalnum():
        raise ValueError
    return value


def _port(value: object) -> int:
    # No int(): it takes 1.5 and "1", and an infinity is an OverflowError.
    if type(value) is not int or not 0 < value <= _MAX_PORT:
        raise ValueError
    return value


def _prefixes(values: object) -> tuple[str, ...]:
    return tuple(str(ip_network(str(value))) for value in _list(values))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value
