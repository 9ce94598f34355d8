"""A KME's service: its status, its limits, and a key if one may be spent."""

from collections.abc import AsyncIterator
from uuid import uuid4

from gateway.config.model import KMEConfig
from gateway.errors import KeySourceError, SourceFault
from gateway.keystore.base import KEY_SIZE, NewKey
from gateway.keystore.check import is_constant
from gateway.sources.base import KeyClient, KMEStatus
from gateway.sources.diagnosis.findings import Step, TrialFinding, failed, ok, warning

_BITS = 8 * KEY_SIZE

_WITHOUT_STATUS = frozenset(
    {SourceFault.REJECTED, SourceFault.MALFORMED, SourceFault.OVERSIZED}
)
"""What a KME answers that has no status call, or a broken one."""


async def look_at_status(
    source: str, client: KeyClient, config: KMEConfig, *, draw: bool
) -> AsyncIterator[TrialFinding]:
    """Ask the status and judge it; a failure is the last finding.

    A KME without a status that can be used may give keys all the same: that is a
    warning where it answers other calls as a KME does, or where a key is drawn next.
    """
    try:
        status = await client.get_status()
    except KeySourceError as error:
        if error.fault in _WITHOUT_STATUS and (draw or await _is_kme(client)):
            yield warning(
                source,
                Step.ACCESS,
                "the KME tells no status that can be used: " + _words(error),
                "keys can be had all the same; its limits and its stock stay unknown",
            )
            return
        yield failure(source, Step.ACCESS, error)
        return
    pair = " to ".join(filter(None, (status.source_kme_id, status.target_kme_id)))
    yield ok(source, Step.ACCESS, f"the KME lets us in ({pair or 'it tells no IDs'})")
    for note in status.notes:
        yield warning(source, Step.STATUS, f"the KME: {note}")
    if not status.notes:
        yield ok(source, Step.STATUS, "as the standard describes it")
    for finding in _limits(source, status, config):
        yield finding


def failure(source: str, step: Step, error: KeySourceError) -> TrialFinding:
    """Make a finding of an error."""
    return failed(source, step, _words(error), error.hint)


def _words(error: KeySourceError) -> str:
    prefix = f"{error.source}: {error.call}: "
    return f"{error.call}: {error.message.removeprefix(prefix)}"


async def _is_kme(client: KeyClient) -> bool:
    """Whether what answers there for a key that nobody drew may be a KME.

    Such a key is refused with 400, 401, 404 or 503, in words of each vendor's own, so
    neither decides: an error in JSON is a KME's (ETSI GS QKD 014 V1.1.1, 6.5). A web
    server, a proxy or a portal has pages, whatever they say of keys.
    """
    key_id = uuid4()
    try:
        delivery = await client.get_keys_with_ids([key_id])
    except KeySourceError as error:
        return error.is_json
    return delivery.is_json and key_id in delivery.missing


def _limits(source: str, status: KMEStatus, config: KMEConfig) -> list[TrialFinding]:
    found = [
        ok(
            source,
            Step.LIMITS,
            f"keys of {status.key_size} bits, {status.max_key_per_request} a call",
        )
    ]
    if status.key_size != _BITS:
        found.append(
            warning(
                source,
                Step.LIMITS,
                f"its default is {status.key_size} bits; {_BITS} are asked for",
                f"if that is refused, set the KME's key size to {_BITS}",
            )
        )
    stored, most = status.stored_key_count, status.max_key_count
    if stored is None:
        found.append(ok(source, Step.LIMITS, "it does not tell how many keys it has"))
    elif stored == 0:
        found.append(
            warning(
                source,
                Step.LIMITS,
                "it has no key for us now",
                "the quantum link makes none, or others take them: see the KME",
            )
        )
    else:
        of_most = f" of at most {most}" if most else ""
        found.append(ok(source, Step.LIMITS, f"{stored} keys in stock{of_most}"))
    if 1 < status.max_key_per_request < config.batch:
        found.append(
            ok(source, Step.LIMITS, f"batch is {config.batch}; its limit is kept to")
        )
    return found


class DrawnKey:
    """Where `look_at_draw` leaves its key for `look_at_peer`."""

    def __init__(self) -> None:
        self.key: NewKey | None = None


async def look_at_draw(
    source: str, client: KeyClient, drawn: DrawnKey
) -> AsyncIterator[TrialFinding]:
    """Draw one key, which is lost to tunnels by that."""
    try:
        delivery = await client.get_keys(1)
    except KeySourceError as error:
        yield failure(source, Step.DRAW, error)
        return
    if not delivery.keys:
        reasons = ", ".join(sorted({one.reason for one in delivery.refused}))
        yield failed(
            source,
            Step.DRAW,
            f"the key that came cannot be used: {reasons}",
            f"keys must have {_BITS} bits and a UUID as key_ID",
        )
        return
    if is_constant(delivery.keys[0].key):
        yield failed(
            source,
            Step.DRAW,
            "the key that came has 32 equal bytes: the KME's source of keys is dead",
            "do not use this KME: tell its vendor",
        )
        return
    drawn.key = delivery.keys[0]
    yield ok(source, Step.DRAW, f"key {drawn.key.key_id} came, and is used up by this")


async def look_at_peer(
    source: str, client: KeyClient, drawn: NewKey
) -> AsyncIterator[TrialFinding]:
    """Fetch the key that was drawn from the other end's KME, and compare.

    Args:
        source: The KME at which it was drawn.
        client: Of the other end.
        drawn: The key.
    """
    try:
        delivery = await client.get_keys_with_ids([drawn.key_id])
    except KeySourceError as error:
        yield failure(source, Step.PEER, error)
        return
    if not delivery.keys:
        yield failed(
            source,
            Step.PEER,
            "the other end's KME does not hold the key that was drawn here",
            "the KMEs are not paired, or sae_id and peer_sae_id are not mirrored at "
            "the two ends",
        )
    elif delivery.keys[0].key != drawn.key:
        yield failed(
            source,
            Step.PEER,
            "the two ends got different keys under one key_ID",
            "do not use these KMEs: tell their vendor",
        )
    else:
        yield ok(source, Step.PEER, "the other end has the same key")
