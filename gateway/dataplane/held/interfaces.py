"""Interfaces of ours: made, found again under whatever name, removed."""

import errno
from collections.abc import Mapping

from gateway.dataplane.held.compare import identify, is_right
from gateway.dataplane.held.snapshot import FoundLink, parse_link, read_links
from gateway.dataplane.held.wanted import ALIAS_PREFIX, WantedLink
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection, RequestError
from gateway.dataplane.refusals import explain_refusal, kernel_call
from gateway.errors import DataPlaneError, PlaneConflictError

MAX_INTERFACE_NAME = 15
"""Bytes in an interface name: IFNAMSIZ less the terminating zero."""

LOOSE = 2
"""rp_filter: a packet is right if its source is reachable by any interface."""

WHOLE = 1 << 16
"""Bytes of an answer: all of it."""


class LinkMaker:
    """Makes interfaces and remembers which they are.

    Attributes:
        indexes: Our interfaces by alias, as last seen.
    """

    def __init__(self, connection: NetlinkConnection) -> None:
        self._connection = connection
        self.indexes: dict[str, int] = {}
        self._left: dict[int, FoundLink] | None = None

    def note(
        self, links: Mapping[int, FoundLink], wanted: Mapping[str, WantedLink]
    ) -> None:
        """Take down where our interfaces are now."""
        found = identify(wanted, links, self.indexes)
        self.indexes = {alias: link.index for alias, link in found.items()}

    def find(self, alias: str) -> int | None:
        """Return an interface's index as last seen; None if there was none."""
        return self.indexes.get(alias)

    def look(self, alias: str) -> FoundLink | None:
        """Return what an interface of ours is now; None if it is gone."""
        index = self.indexes.get(alias)
        return None if index is None else self._read(index=index)

    def name_of(self, index: int) -> str:
        """Return an interface's name."""
        found = self._read(index=index)
        return found.name if found is not None else str(index)

    def ensure(self, link: WantedLink) -> int:
        """Make an interface, or adopt ours and set it right; return its index.

        Raises:
            PlaneConflictError: An interface of that name is not ours.
            PlaneUnsupportedError: The kernel has no such kind.
        """
        found = self.seek(link)
        if found is None:
            found = self._create(link)
        self._adjust(link, found)
        self.indexes[link.alias] = found.index
        return found.index

    def mark(self, link: WantedLink) -> None:
        """Give an interface that a process of ours made its alias, by its name.

        Raises:
            DataPlaneError: It is not there.
        """
        found = self._read(name=link.name)
        if found is None:
            raise explain_refusal(f"find interface {link.name}", errno.ENODEV)
        with kernel_call(f"mark interface {link.name} as ours"):
            self._carry_out(rt.link_change(found.index, alias=link.alias))
        self.indexes[link.alias] = found.index

    def adjust(self, link: WantedLink, found: FoundLink) -> None:
        """Set an interface right. Raises `DataPlaneError`."""
        self._adjust(link, found)

    def remove(self, alias: str) -> None:
        """Remove an interface of ours; absence is fine."""
        index = self.indexes.pop(alias, None)
        if index is None:
            return
        with kernel_call("remove an interface"):
            for error in self._connection.send([rt.link_deletion(index)]):
                if error.errno != errno.ENODEV:
                    raise error

    def seek(self, link: WantedLink) -> FoundLink | None:
        """Return our interface, whatever its name; None if it must be made.

        Raises:
            PlaneConflictError: An interface of that name is not ours.
        """
        _check_name(link.name)
        known = self.look(link.alias)
        if known is not None and known.kind == link.kind:
            return known
        if self._left is None:
            with kernel_call("read interfaces"):
                self._left = read_links(self._connection)
        left = identify({link.alias: link}, self._left, {}).get(link.alias)
        if left is not None:
            still = self._read(index=left.index)
            if still is not None and still.kind == link.kind:
                return still
        named = self._read(name=link.name)
        if named is None:
            return None
        aliases = {link.alias, link.former_alias or link.alias}
        if named.kind == link.kind and named.alias in aliases:
            return named
        owner = link.alias.removeprefix(ALIAS_PREFIX)
        raise PlaneConflictError(
            f"interface {link.name} is there and was not made for tunnel {owner}",
            f"remove it (ip link delete {link.name}) or set another `interface`",
        )

    def _create(self, link: WantedLink) -> FoundLink:
        action = f"make {link.kind} interface {link.name}"
        needs = link.needs or f"this kernel has no {link.kind} interfaces"
        creation = rt.link_creation(link.name, link.kind, link.mtu, link.if_id)
        with kernel_call(action, needs=needs):
            errors = self._connection.send([creation])
            if errors and errors[0].errno == errno.EEXIST and link.if_id:
                # The kernel has no second one with the if_id: it is ours by another
                # name, made or renamed since we last looked.
                self._left = read_links(self._connection)
                found = identify({link.alias: link}, self._left, {})
                if link.alias in found:
                    return found[link.alias]
            if errors:
                raise errors[0]
        found_now = self._read(name=link.name)
        if found_now is None:
            raise explain_refusal(action, errno.ENODEV)
        return found_now

    def _adjust(self, link: WantedLink, found: FoundLink) -> None:
        if found.name != link.name:
            self._rename(link, found)
        with kernel_call(f"set up interface {link.name}"):
            if not is_right(link, found):
                change = rt.link_change(
                    found.index, alias=link.alias, mtu=link.mtu, up=True
                )
                self._carry_out(change)
            if link.is_loose:
                self._carry_out(rt.reverse_path_change(found.index, LOOSE))

    def _rename(self, link: WantedLink, found: FoundLink) -> None:
        """Give an interface its name back, if need be by taking it down a moment."""
        with kernel_call(f"rename interface {found.name} to {link.name}"):
            try:
                self._carry_out(rt.link_change(found.index, name=link.name))
            except RequestError as error:
                if error.errno != errno.EBUSY:
                    raise
                # Kernels before 6.2 rename only what is down.
                self._carry_out(rt.link_change(found.index, up=False))
                try:
                    self._carry_out(rt.link_change(found.index, name=link.name))
                finally:
                    self._carry_out(rt.link_change(found.index, up=True))

    def _carry_out(self, request: bytearray) -> None:
        errors = self._connection.send([request])
        if errors:
            raise errors[0]

    def _read(self, *, index: int = 0, name: str = "") -> FoundLink | None:
        question = rt.link_question(index=index, name=name)
        with kernel_call(f"read interface {name or index}"):
            try:
                (answer,) = self._connection.ask([question], WHOLE)
            except RequestError as error:
                if error.errno != errno.ENODEV:
                    raise
                return None
        return None if answer is None else parse_link(answer)


def _check_name(name: str) -> None:
    if not name or len(name.encode()) > MAX_INTERFACE_NAME:
        raise DataPlaneError(
            f"{name!r} cannot be an interface's name",
            f"use 1 to {MAX_INTERFACE_NAME} bytes",
        )
