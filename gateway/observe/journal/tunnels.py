"""Wording of what happens to tunnels and to what they have in the kernel."""

from logging import ERROR, INFO, WARNING
from typing import Any, Final

from gateway.events.tunnels import (
    DevicesUncompared,
    EpochAdopted,
    HalfInstalled,
    IdentityTwice,
    InitiationUnanswered,
    KernelRefused,
    KernelStateFought,
    KernelStateMissing,
    KernelStateRestored,
    KernelUncompared,
    KernelUnwatched,
    OfferedKeysUsed,
    OffersUnreleased,
    OffersUnretired,
    PeerHeardElsewhere,
    PeerPaced,
    PlaneKeysLost,
    PlaneOpened,
    StateAnew,
    StateIgnored,
    StateRefused,
    StateUnwritten,
    TunnelChangeFailed,
    TunnelHalfRemoved,
    TunnelStartFailed,
)
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        TunnelStartFailed,
        "start-failed",
        ERROR,
        "cannot start: {why}",
    ),
    Wording(
        TunnelChangeFailed,
        "update-failed",
        ERROR,
        "not changed: {why}",
    ),
    Wording(
        TunnelHalfRemoved,
        "remove-failed",
        WARNING,
        "not all of it could be removed: {why}",
    ),
    Wording(
        EpochAdopted,
        "adopted",
        INFO,
        "adopted epoch {epoch:d} from the kernel",
    ),
    Wording(
        KernelRefused,
        "step-failed",
        WARNING,
        "{text}",
    ),
    Wording(
        HalfInstalled,
        "half-installed",
        WARNING,
        "cannot remove what was installed of epoch {number:d}: {why}",
    ),
    Wording(
        PlaneKeysLost,
        "plane-lost",
        WARNING,
        "{text}",
    ),
    Wording(
        PeerHeardElsewhere,
        "peer-moved",
        INFO,
        "the peer is heard from {remote} now, at our address {local}",
        lambda e: {"local": e.local or "of the route"},
    ),
    Wording(
        PeerPaced,
        "peer-hasty",
        WARNING,
        "the peer at {remote} begins epochs faster than any honest one: what is "
        "above the pace is not answered",
    ),
    Wording(
        IdentityTwice,
        "identity-twice",
        WARNING,
        "{text}",
    ),
    Wording(
        InitiationUnanswered,
        "not-ready",
        WARNING,
        "cannot answer an initiation: {why}",
    ),
    Wording(
        OfferedKeysUsed,
        "keys-retired",
        WARNING,
        "the peer had used {used:d} of {offered:d} keys offered; they are retired",
    ),
    Wording(
        OffersUnreleased,
        "",
        WARNING,
        "cannot release keys: {why}",
    ),
    Wording(
        OffersUnretired,
        "",
        WARNING,
        "cannot retire keys the peer has used: {why}",
    ),
    Wording(
        PlaneOpened,
        "",
        INFO,
        "data plane {plane} is open",
    ),
    Wording(
        KernelStateRestored,
        "restored",
        WARNING,
        "was missing or changed, and is restored: {what}",
    ),
    Wording(
        KernelStateMissing,
        "missing",
        ERROR,
        "is missing and cannot be restored: {what}",
    ),
    Wording(
        KernelStateFought,
        "fought",
        ERROR,
        "somebody keeps taking away {what}; if it happens again it is left alone "
        "for {pause:d} s",
    ),
    Wording(
        KernelUnwatched,
        "unwatched",
        WARNING,
        "cannot listen to the kernel's changes, so they are looked for every "
        "{sweep:d} s: {why}",
    ),
    Wording(
        DevicesUncompared,
        "uncompared",
        WARNING,
        "cannot look at the planes' devices: {why}",
    ),
    Wording(
        KernelUncompared,
        "uncompared",
        WARNING,
        "cannot compare what is in the kernel: {why}",
    ),
    Wording(
        StateAnew,
        "state-anew",
        INFO,
        "the peer is another one than before: epochs start anew",
    ),
    Wording(
        StateUnwritten,
        "state-unwritten",
        WARNING,
        "cannot remember epoch {number:d}: {why}; after a restart the peer will say",
    ),
    Wording(
        StateIgnored,
        "",
        WARNING,
        "state file {path} {why}",
    ),
    Wording(
        StateRefused,
        "state-refused",
        WARNING,
        "state file {path} is ignored: its epoch {number:d} is above {highest:d}, "
        "which no gateway reaches; the peer will say which epoch comes next",
    ),
)
