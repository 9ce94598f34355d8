"""Wording of start, configuration, reload and strangers."""

from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from typing import Any, Final

from gateway.events.daemon import (
    ConfigWarning,
    DaemonReady,
    DaemonStopped,
    DatagramRefused,
    IdentityLoaded,
    LiboqsPassedOver,
    Reloaded,
    ReloadedInPart,
    ReloadRefused,
    StartFailed,
    UnknownPeerHeard,
    UnknownTunnelAsked,
)
from gateway.events.faults import (
    InternalFault,
)
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        StartFailed,
        "cannot-start",
        CRITICAL,
        "{why}",
    ),
    Wording(
        ConfigWarning,
        "config",
        WARNING,
        "{text}",
    ),
    Wording(
        IdentityLoaded,
        "",
        INFO,
        "identity {fingerprint}, suite {suite:d}, ML-KEM from {provider}",
    ),
    Wording(
        LiboqsPassedOver,
        "liboqs-passed-over",
        WARNING,
        "liboqs is installed and not used, OpenSSL is: {why}",
    ),
    Wording(
        DaemonReady,
        "",
        INFO,
        "ready: {status}",
    ),
    Wording(
        Reloaded,
        "",
        INFO,
        "reloaded: {added:d} added, {removed:d} removed, {changed:d} changed, "
        "{unchanged:d} unchanged",
    ),
    Wording(
        ReloadedInPart,
        "reload-failed",
        WARNING,
        "reloaded: {added:d} added, {removed:d} removed, {changed:d} changed, "
        "{unchanged:d} unchanged; {undone}",
    ),
    Wording(
        ReloadRefused,
        "reload-failed",
        ERROR,
        "not reloaded: {why}",
    ),
    Wording(
        DaemonStopped,
        "",
        INFO,
        "stopped; tunnels stay in the kernel until their keys expire",
    ),
    Wording(
        DatagramRefused,
        "dropped",
        DEBUG,
        "dropped a datagram from {host}: {reason}",
    ),
    Wording(
        UnknownPeerHeard,
        "unknown-peer",
        WARNING,
        "unknown peer {peer} at {host}: no tunnel has this fingerprint",
    ),
    Wording(
        UnknownTunnelAsked,
        "unknown-tunnel",
        WARNING,
        "peer {peer} asks for tunnel {asked}, which is not configured with it",
    ),
    Wording(
        InternalFault,
        "fault",
        ERROR,
        "fault {where}",
    ),
)
