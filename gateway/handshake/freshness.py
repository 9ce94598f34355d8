"""The age, in epochs, of the QKD key on which an epoch's secrets depend.

The count stands beside each chain secret and moves only with a commit: what fails, is
given up or sent again leaves it alone, and a restart, which loses the chain, loses the
count too. Nothing that a peer says enters it. Each end thus judges by what it has
committed itself, and two ends that share a chain share its history.
"""

from dataclasses import replace

from gateway.handshake.noise.symmetric import Chain
from gateway.wire.payloads import Policy, Terms


def qkd_age(chain: Chain | None, *, fresh: bool) -> int | None:
    """Return the count of an epoch that mixes this chain secret.

    Args:
        chain: The chain secret mixed, or None.
        fresh: Whether a QKD key is mixed too.

    Returns:
        Epochs since the last fresh key: 0 with one, None if no key was ever mixed.
    """
    if fresh:
        return 0
    if chain is None or chain.qkd_age is None:
        return None
    return chain.qkd_age + 1


def aged(chain: Chain) -> Chain:
    """Return a chain secret that one more epoch was committed beside.

    The responder keeps the chain that an epoch mixed until the initiator shows that it
    has the next one. Who suppresses every M4 would otherwise have it mix that one chain
    into epoch after epoch, each "the first" since the fresh key.
    """
    if chain.qkd_age is None:
        return chain
    return replace(chain, qkd_age=chain.qkd_age + 1)


def is_due(chain: Chain | None, every: int) -> bool:
    """Whether the next epoch needs a fresh key, if there is to be one every so many."""
    age = qkd_age(chain, fresh=False)
    return age is None or age >= every


def is_wanted(ours: Terms, theirs: Terms, chain: Chain | None) -> bool:
    """Whether a responder is to look for a key: the stricter end decides."""
    return is_due(chain, min(ours.qkd_every, theirs.qkd_every))


def is_required(ours: Terms, theirs: Terms, chain: Chain | None) -> bool:
    """Whether there can be no epoch without a key: who requires one has it its way."""
    return any(
        terms.policy is Policy.REQUIRED and is_due(chain, terms.qkd_every)
        for terms in (ours, theirs)
    )
