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
        OSError: There is no such namespace.
        BaseException: What the function raised, a failed assertion or a skip included.
    """
    made: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        # A thread of its own: what it enters, it takes to its end.
        try:
            netns.setns(namespace)
            made.append(make())
        except BaseException as error:  # noqa: BLE001 - raised again by who asked
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return made[0]


def open_socket(
    namespace: str, family: int, kind: int, protocol: int = 0
) -> socket.socket:
    """Return a socket of another namespace, for use from any thread here.

    Raises:
        OSError: There is no such namespace, or the kernel refuses the socket.
    """
    return made_inside(namespace, lambda: socket.socket(family, kind, protocol))
