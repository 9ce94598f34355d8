"""A new time for grants that are there, which kernels give in different ways.

Since Linux 6.12 adding an element again renews it; before, that succeeds and leaves the
old time, so elements are deleted and added in one step (docs/adr/0206).
"""

import errno
from collections.abc import Callable, Iterable

from gateway.dataplane.fence.nft.changes import MARGIN
from gateway.dataplane.fence.nft.connection import NftConnection, NftError
from gateway.dataplane.fence.nft.passes import (
    Pass,
    add_passes,
    delete_passes,
    seconds_left,
)


class Renewal:
    """Renews elements through one connection.

    Attributes:
        refreshes: Whether adding an element again renews it; None until it was tried.
    """

    def __init__(self, connection: NftConnection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock
        self.refreshes: bool | None = None

    def renew(
        self,
        going: list[Pass],
        passes: Iterable[Pass],
        there: dict[Pass, float],
        ends_at: float,
    ) -> None:
        """Give elements a new time; those that are there keep working meanwhile.

        Args:
            going: Elements that are there and go in the same step.
            passes: Elements that shall be there.
            there: Those that are, with their ends in monotonic seconds.
            ends_at: When all shall end, monotonic seconds.

        Raises:
            NftError: The kernel refused.
        """
        again = {each: end for each, end in there.items() if each in passes}
        seconds = ends_at - self._clock()
        is_later = [each for each, end in again.items() if ends_at - end > 4 * MARGIN]
        may_refresh = self.refreshes or (self.refreshes is None and bool(is_later))
        if not again or may_refresh:
            self._connection.transact(
                [*delete_passes(going), *add_passes(passes, seconds)]
            )
            if not again or self.refreshes or self._refreshed(is_later[0], ends_at):
                return
            going = []
        try:
            self._connection.transact(
                [*delete_passes([*going, *again]), *add_passes(passes, seconds)]
            )
        except NftError as error:
            if error.errno != errno.ENOENT:
                raise
            self._replace(passes, seconds)

    def _refreshed(self, each: Pass, ends_at: float) -> bool:
        """Find out whether adding an element again gave it its new time."""
        left = seconds_left(self._connection, each)
        shown = self._clock() + (left or 0.0)
        self.refreshes = abs(shown - ends_at) <= 2 * MARGIN
        return self.refreshes

    def _replace(self, passes: Iterable[Pass], seconds: float) -> None:
        """Add elements of which some have just gone: each in a step of its own."""
        for each in passes:
            try:
                self._connection.transact(
                    [*delete_passes([each]), *add_passes([each], seconds)]
                )
            except NftError as error:
                if error.errno != errno.ENOENT:
                    raise
                self._connection.transact(list(add_passes([each], seconds)))
