"""Sockets that belong to a namespace, made without leaving one's own."""

import socket
import threading

from pyroute2 import netns


def open_socket(
    namespace: str, family: int, kind: int, protocol: int = 0
) -> socket.socket:
    """Return a socket of another namespace, for use from any thread here.

    Raises:
        OSError: There is no such namespace, or the kernel refuses the socket.
    """
    made: list[socket.socket | OSError] = []

    def work() -> None:
        # A thread of its own: what it enters, it takes to its end.
        try:
            netns.setns(namespace)
            made.append(socket.socket(family, kind, protocol))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result
