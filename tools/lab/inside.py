"""What belongs to a namespace, made without leaving one's own."""

import socket
import threading
from collections.abc import Callable
from typing import TypeVar

from pyroute2 import netns

T = TypeVar("T")


def made_inside(namespace: str, make: Callable[[], T]) -> T:
    """Return what a function returns inside a namespace.

    Raises:
        OSError: There is no such namespace, or the function raised it.
    """
    made: list[T | OSError] = []

    def work() -> None:
        # A thread of its own: what it enters, it takes to its end.
        try:
            netns.setns(namespace)
            made.append(make())
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


def open_socket(
    namespace: str, family: int, kind: int, protocol: int = 0
) -> socket.socket:
    """Return a socket of another namespace, for use from any thread here.

    Raises:
        OSError: There is no such namespace, or the kernel refuses the socket.
    """
    return made_inside(namespace, lambda: socket.socket(family, kind, protocol))
