"""Wording of what this host lacks or does."""

from logging import INFO, WARNING
from typing import Any, Final

from gateway.events.host import (
    CoreDumpsAllowed,
    DatagramsUnsent,
    DatagramUnmarked,
    DescriptorRefused,
    DescriptorsRefused,
    ListenAddressAbsent,
    ListenAddressPresent,
    MemoryLimited,
    MemoryUnlocked,
    NotifyFailed,
    NotifySocketUnknown,
)
from gateway.host.bounded_log import alike
from gateway.observe.journal.wording import Wording
from gateway.units import plural

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        ListenAddressAbsent,
        "address-absent",
        WARNING,
        "{host}, which listen names, is not on this host; it is used once it comes",
    ),
    Wording(
        ListenAddressPresent,
        "address-present",
        INFO,
        "{host}, which listen names, is on this host now",
    ),
    Wording(
        DatagramsUnsent,
        "unsent",
        WARNING,
        "{datagrams} could not be sent, the last one to {host}: {reason}",
        lambda e: {"datagrams": plural(e.count, "datagram")},
        lambda e: alike("unsent", e.reason),
    ),
    Wording(
        DatagramUnmarked,
        "unmarked",
        WARNING,
        "datagrams from {host}:{port:d} cannot be marked without CAP_NET_ADMIN: a "
        "peer whose address is inside a remote prefix cannot be reached",
    ),
    Wording(
        DescriptorsRefused,
        "",
        WARNING,
        "LISTEN_FDS={count:d} is not believed",
    ),
    Wording(
        DescriptorRefused,
        "",
        WARNING,
        "descriptor {descriptor:d} from systemd {why}",
    ),
    Wording(
        NotifySocketUnknown,
        "",
        WARNING,
        "NOTIFY_SOCKET is of a kind not known here: {value}",
    ),
    Wording(
        NotifyFailed,
        "notify-failed",
        WARNING,
        "cannot notify systemd ({state}): {why}",
    ),
    Wording(
        CoreDumpsAllowed,
        "",
        WARNING,
        "cannot forbid core dumps: {why}",
    ),
    Wording(
        MemoryLimited,
        "",
        WARNING,
        "memory is not locked: this process may lock {limit:d} KiB at most; set "
        "LimitMEMLOCK=infinity in its unit, or, where that is set, raise the limit "
        "of the container that systemd runs in; else encrypt the swap",
    ),
    Wording(
        MemoryUnlocked,
        "",
        WARNING,
        "memory is not locked: {why}",
    ),
)
