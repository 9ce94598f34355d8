"""Records of tunnels that outlast a restart: nothing secret.

One small JSON file a tunnel. Losing one costs nothing but an interruption: the peer
says which epoch comes next. Times are monotonic seconds, which mean something only
within one boot.

A run's first write replaces the file; those after overwrite it in place, all of it
with one system call and always the same number of bytes, so that a process that is
killed leaves the old record or the new one (docs/adr/0142).
"""

import contextlib
import json
import math
import os
from dataclasses import dataclass, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError, passes
from gateway.events.bus import publish
from gateway.events.tunnels import StateAnew, StateIgnored, StateRefused, StateUnwritten
from gateway.handshake.limits import MAX_EPOCH
from gateway.host.path import SocketAddress
from gateway.keystore.clock import load_boot_id

_MAX_FILE: Final = 4096
"""Bytes read of a state file."""

_SIZE: Final = 448
"""Bytes of one, padded with spaces: the longest values make 390. Within one sector."""

_MAX_TEXT: Final = 64
"""Characters of a text in a record; the longest is a fingerprint of 49."""

_MAX_PORT: Final = 65_535

_DAMAGE: Final = (
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    RecursionError,
)
"""All that reading a file of somebody else's making can raise."""

_MAX_INDEX: Final = 65_535
_MAX_COUNT: Final = 2**64 - 1
"""As the kernel's: bytes of 46 years at 100 Gb/s."""


@dataclass(frozen=True, slots=True)
class TunnelRecord:
    """One tunnel's record.

    Attributes:
        index: Small number that planes derive identifiers from, 1 to 65535.
        epoch: Last epoch committed, 0 for none.
        in_force: Last epoch that was in force, 0 for none.
        expires_at: When that one reaches its lifetime, monotonic seconds; or the last
            epoch committed, where none before it was in force.
        boot_id: The boot in which `expires_at` and `carried` mean something.
        carried: What epochs had counted that are gone from the kernel: packets and
            bytes received, packets and bytes sent.
        peer: Where the peer was then, ``203.0.113.2:51810``, or empty.
        identity: The peer's fingerprint, or empty in a record of an earlier release.
    """

    index: int
    epoch: int = 0
    in_force: int = 0
    expires_at: float = 0.0
    boot_id: str = ""
    carried: tuple[int, int, int, int] = (0, 0, 0, 0)
    peer: str = ""
    identity: str = ""

    def peer_address(self) -> SocketAddress | None:
        """Return where the peer was last heard in the run before, or None."""
        host, colon, port = self.peer.rpartition(":")
        try:
            address, number = str(ip_address(host.strip("[]"))), int(port)
        except ValueError:
            return None
        return (address, number) if colon and 1 <= number <= _MAX_PORT else None


_FIELDS: Final = tuple(field.name for field in fields(TunnelRecord))


def _fields(record: TunnelRecord) -> dict[str, object]:
    """Return a record's fields: `asdict` copies each, three times as slowly."""
    return {name: getattr(record, name) for name in _FIELDS}


class StateDirectory:
    """Reads and writes the records under ``state_dir/tunnels``."""

    def __init__(self, directory: Path) -> None:
        """Read what is there.

        Raises:
            GatewayError: The folder cannot be made or entered.
        """
        self._directory = directory / "tunnels"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise GatewayError(
                f"state_dir cannot be used: {self._directory}: "
                f"{os.strerror(error.errno or 0)}",
                "make it a folder that the daemon's user may write",
                retryable=passes(error),
            ) from error
        self._boot_id = load_boot_id()
        self._written: set[str] = set()
        self._records = dict(self._load_all())

    def record(self, tunnel: str) -> TunnelRecord:
        """Return a tunnel's record; a new one gets an index nobody has."""
        if tunnel not in self._records:
            taken = {record.index for record in self._records.values()}
            free = next(i for i in range(1, _MAX_INDEX + 1) if i not in taken)
            self._write(tunnel, TunnelRecord(free))
        return self._records[tunnel]

    def bind(self, tunnel: str, identity: str) -> TunnelRecord:
        """Return a tunnel's record with the peer that it has now.

        Epochs belong to a pair of identities: with another peer they start anew, and
        what the one before has committed is no hindrance. Only the index stays.
        """
        record = self.record(tunnel)
        if record.identity and record.identity != identity:
            publish(StateAnew(tunnel))
            self._write(tunnel, TunnelRecord(record.index, identity=identity))
        elif not record.identity:
            self._records[tunnel] = replace(record, identity=identity)
        return self._records[tunnel]

    def committed(
        self, tunnel: str, epoch: int, expires_at: float, peer: str = ""
    ) -> None:
        """Remember a tunnel's newest epoch, and where its peer was."""
        record = self.record(tunnel)
        self._write(
            tunnel,
            TunnelRecord(
                record.index,
                epoch,
                record.in_force,
                expires_at,
                self._boot_id,
                self.carried(tunnel),
                peer,
                record.identity,
            ),
        )

    def came_into_force(self, tunnel: str, epoch: int, expires_at: float) -> None:
        """Remember the newest epoch that was in force, and its end."""
        record = self.record(tunnel)
        self._write(tunnel, replace(record, in_force=epoch, expires_at=expires_at))

    def carried(self, tunnel: str) -> tuple[int, int, int, int]:
        """Return what a tunnel's epochs had counted in this boot that are gone."""
        record = self._records.get(tunnel)
        if record is None or record.boot_id != self._boot_id:
            return 0, 0, 0, 0
        return record.carried

    def count(self, tunnel: str, carried: tuple[int, int, int, int]) -> None:
        """Remember what epochs had counted that are gone, if that is news."""
        record = self._records.get(tunnel)
        if record is None or record.boot_id != self._boot_id:
            return  # removed, or nothing was counted since the host booted
        if carried != record.carried:
            self._write(tunnel, replace(record, carried=carried))

    def is_current(self, record: TunnelRecord, *, now: float) -> bool:
        """Whether the epoch recorded may still be in this kernel and in its time."""
        return (
            record.epoch > 0
            and bool(self._boot_id)
            and record.boot_id == self._boot_id
            and now < record.expires_at
        )

    def forget(self, tunnel: str) -> None:
        """Drop a tunnel's record."""
        self._records.pop(tunnel, None)
        self._written.discard(tunnel)
        with contextlib.suppress(OSError):
            self._path(tunnel).unlink(missing_ok=True)

    def _path(self, tunnel: str) -> Path:
        return self._directory / f"{tunnel}.json"

    def _write(self, tunnel: str, record: TunnelRecord) -> None:
        self._records[tunnel] = record
        text = json.dumps(_fields(record)).ljust(_SIZE - 1) + "\n"
        try:
            if tunnel in self._written:
                _overwrite(self._path(tunnel), text.encode("ascii"))
            else:
                self._replace(self._path(tunnel), text)
                self._written.add(tunnel)
        except OSError as error:
            publish(StateUnwritten(tunnel, record.epoch, os.strerror(error.errno or 0)))
            self._written.discard(tunnel)

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(text, encoding="ascii")
        os.replace(fresh, path)  # noqa: PTH105  # the atomic one, by its own name

    def _load_all(self) -> list[tuple[str, TunnelRecord]]:
        found: list[tuple[str, TunnelRecord]] = []
        taken: set[int] = set()
        for path in sorted(self._directory.glob("*.json")):
            record = _load(path)
            if record is not None and record.index not in taken:
                taken.add(record.index)
                found.append((path.stem, record))
        return found


def _overwrite(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _load(path: Path) -> TunnelRecord | None:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_FILE))
        record = TunnelRecord(
            int(value["index"]),
            int(value["epoch"]),
            int(value.get("in_force", value["epoch"])),
            float(value["expires_at"]),
            str(value["boot_id"]),
            _load_carried(value.get("carried", (0, 0, 0, 0))),
            str(value.get("peer", "")),
            str(value.get("identity", "")),
        )
    except (
        OSError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        RecursionError,
    ):
        publish(StateIgnored(str(path), "is unreadable and ignored"))
        return None
    sane = (
        1 <= record.index <= _MAX_INDEX
        and 0 <= record.in_force <= record.epoch
        and math.isfinite(record.expires_at)
        and all(0 <= count <= _MAX_COUNT for count in record.carried)
        and max(map(len, (record.boot_id, record.peer, record.identity))) <= _MAX_TEXT
    )
    if not sane:
        publish(StateIgnored(str(path), "makes no sense and is ignored"))
        return None
    if record.epoch > MAX_EPOCH:
        publish(StateRefused(path.stem, str(path), record.epoch, MAX_EPOCH))
        return None
    return record


def _load_carried(value: object) -> tuple[int, int, int, int]:
    if not isinstance(value, list | tuple):
        raise TypeError(value)
    received, bytes_in, sent, bytes_out = map(int, value)
    return received, bytes_in, sent, bytes_out
