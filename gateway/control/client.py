"""The other end of the control socket: small, blocking, for `qgw` and scripts."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.control import limits
from gateway.control.protocol import decode_answer, encode_request
from gateway.control.schema import ErrorCode
from gateway.control.socket_file import view_path
from gateway.errors import ControlError
from gateway.host.local_names import NameTakenError, check_listener, trusted_users

CONNECT_TIMEOUT = 5.0
"""Seconds; a local connect waits only when the daemon's backlog is full."""

_CONNECT_PAUSE = 0.05
"""Seconds between two tries while it is."""

_CHUNK = 1 << 16


class ControlClient:
    """One connection to the daemon; requests go one after the other.

    Every method raises `ControlError` with a code of docs/control.md.
    """

    def __init__(
        self, path: Path, *, timeout: float = limits.CLIENT_TIMEOUT, doubt: str = ""
    ) -> None:
        """Name the socket; it is connected by the first call.

        Args:
            path: Socket file.
            timeout: Seconds for a call, from connecting to the whole answer.
            doubt: Why the daemon may listen elsewhere, if the socket is a guess.
        """
        self._path = path
        self._doubt = doubt
        self._timeout = timeout
        self._until = 0.0
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()

    def call(self, method: str, params: Mapping[str, object] | None = None) -> object:
        """Ask the daemon and return the result as JSON values.

        Raises:
            ControlError: The daemon is not there, does not let us in, does not
                answer in time, or answers with an error.
        """
        self._last_id += 1
        self._until = time.monotonic() + self._timeout
        request = encode_request(self._last_id, method, params or {})
        if len(request) > limits.MAX_MESSAGE:
            raise ControlError(
                f"request longer than {limits.MAX_MESSAGE} bytes",
                "send less at once",
                code=ErrorCode.TOO_LARGE,
            )
        try:
            answer = self._exchange(request)
            return decode_answer(answer, self._last_id)
        except TimeoutError:
            self.close()
            raise ControlError(
                f"no answer from qgwd within {self._timeout:.0f} seconds",
                "see journalctl -u qgwd; if it hangs: systemctl restart qgwd",
                code=ErrorCode.TIMEOUT,
            ) from None
        except OSError as error:
            self.close()
            raise ControlError(
                f"lost the connection to qgwd: {error.strerror or 'it was closed'}",
                "see whether it still runs: systemctl status qgwd",
                code=ErrorCode.UNREACHABLE,
            ) from None

    def _exchange(self, request: bytes) -> bytes:
        connection = self._socket or self._connect()
        connection.settimeout(self._left())
        try:
            connection.sendall(request)
        except BrokenPipeError:
            # Refused before it was read: the reason is waiting to be read.
            return self._read_line(connection)
        return self._read_line(connection)

    def _left(self) -> float:
        """Return the seconds that a call still has.

        Raises:
            TimeoutError: None.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        patience = min(CONNECT_TIMEOUT, self._timeout)
        connection.settimeout(patience)
        try:
            try:
                _connect_patiently(connection, self._path, patience)
            except PermissionError as refused:
                # Those who may only look have a socket of their own.
                try:
                    _connect_patiently(connection, view_path(self._path), patience)
                except OSError:
                    raise refused from None
            _check_daemon(connection, self._path)
        except NameTakenError as error:
            connection.close()
            raise ControlError(
                f"that is no daemon to trust: {error}",
                error.hint,
                code=ErrorCode.NOT_PERMITTED,
            ) from None
        except OSError as error:
            connection.close()
            raise self._refused(error) from None
        self._socket = connection
        return connection

    def _read_line(self, connection: socket.socket) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > limits.MAX_ANSWER:
                self.close()
                raise ControlError(
                    f"the daemon's answer is longer than {limits.MAX_ANSWER} bytes",
                    "is this the socket of qgwd?",
                )
            connection.settimeout(self._left())
            chunk = connection.recv(_CHUNK)
            if not chunk:
                raise ConnectionResetError
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _refused(self, error: OSError) -> ControlError:
        match error:
            case PermissionError():
                return ControlError(
                    f"permission denied for {self._path}",
                    "run it as root, or join a group and log in again: "
                    'usermod -aG qgw "$USER", or -aG qgw-view to look only',
                    code=ErrorCode.NOT_PERMITTED,
                )
            case FileNotFoundError() | ConnectionRefusedError() if self._doubt:
                return ControlError(
                    f"{self._doubt}; so the default socket was tried, and nothing "
                    f"listens at {self._path}",
                    "correct the file, or name the socket: qgw --socket PATH",
                    code=ErrorCode.UNREACHABLE,
                )
            case FileNotFoundError() | ConnectionRefusedError():
                return ControlError(
                    f"qgwd is not running: nothing listens at {self._path}",
                    "start it: systemctl start qgwd",
                    code=ErrorCode.UNREACHABLE,
                )
            case BlockingIOError():
                return ControlError(
                    f"qgwd does not take connections at {self._path}",
                    "see journalctl -u qgwd; if it hangs: systemctl restart qgwd",
                    code=ErrorCode.UNREACHABLE,
                )
            case _:
                return ControlError(
                    f"cannot connect to {self._path}: {error.strerror or error}",
                    "is this the socket of qgwd?",
                    code=ErrorCode.UNREACHABLE,
                )


def _connect_patiently(connection: socket.socket, path: Path, patience: float) -> None:
    # A socket with a timeout gets EAGAIN, and no wait, from a full backlog.
    deadline = time.monotonic() + patience
    while True:
        try:
            return connection.connect(str(path))
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_CONNECT_PAUSE)


def _check_daemon(connection: socket.socket, path: Path) -> None:
    """See that keys to import are not told to somebody who took the socket's name.

    The daemon has a user of its own, which owns the socket's folder.

    Raises:
        NameTakenError: Neither root, nor we, nor the folder's owner listens there.
        OSError: The folder cannot be looked at.
    """
    owner = path.parent.stat().st_uid
    check_listener(connection, users=trusted_users() | {owner})
