"""A TLS server that says why it refuses a client.

Python's asyncio drops a connection whose handshake fails and sends no alert; most KMEs
are no asyncio servers.
"""

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

_PATIENCE = 5.0


class AlertingServer:
    """Makes handshakes on a loopback port, one after another, and answers nothing.

    Attributes:
        handshakes: How many were begun.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.handshakes = 0
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """As a KME's."""
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(_PATIENCE)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.handshakes += 1
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_PATIENCE)
                self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        wrapped = self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        with wrapped:
            with contextlib.suppress(ssl.SSLError):
                wrapped.do_handshake()
                wrapped.recv(1)
            # Whatever else came is read, or the reset would overtake the alert.
            raw = wrapped.detach()
        with socket.socket(fileno=raw) as rest:
            rest.settimeout(_PATIENCE)
            rest.shutdown(socket.SHUT_WR)
            while rest.recv(65536):
                pass
