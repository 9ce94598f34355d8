"""Refused handshakes, in words for both ends' operators."""

from typing import Final

from gateway.wire.payloads import Policy, Status, Terms

_POLICY: Final = {
    Policy.OFF: "off",
    Policy.PREFERRED: "preferred",
    Policy.REQUIRED: "required",
}

_SENTENCES: Final = {
    Status.ACCEPTED: "accepted",
    Status.UNKNOWN_TUNNEL: "one end has no tunnel named {tunnel} with the other",
    Status.STALE_EPOCH: "one end remembers later epochs than the other",
    Status.ROLE_CONFLICT: (
        "both ends are initiators: set role = responder at one of them"
    ),
    Status.PLANE_MISMATCH: "data planes differ: here {our_plane}, peer {their_plane}",
    Status.PSK_MISMATCH: "a static PSK is configured only {psk_end}",
    Status.QKD_UNAVAILABLE: (
        "no QKD key is in stock at both ends, and one end requires it"
    ),
    Status.POLICY_MISMATCH: (
        "QKD policies exclude each other: here {our_policy}, peer {their_policy}"
    ),
    Status.NOT_READY: "the tunnel is down, or not ready, at the responder",
    Status.EPOCH_LEAP: (
        "the initiator's epoch is too far above the responder's to be honest"
    ),
}
assert set(_SENTENCES) == set(Status)  # noqa: S101  # a new status needs its words

INTERVAL_TOLERANCE: Final = 0.01
"""Share by which two intervals may differ before that is shown as a fault."""


def explain_refusal(status: Status, ours: Terms, theirs: Terms, tunnel: str) -> str:
    """Return one line that says what differs, from this end's point of view."""
    sentence = _SENTENCES[status].format(
        tunnel=tunnel,
        our_plane=_plane(ours),
        their_plane=_plane(theirs),
        our_policy=_POLICY[ours.policy],
        their_policy=_POLICY[theirs.policy],
        psk_end="here" if ours.psk else "at the peer",
    )
    every = max(ours.qkd_every, theirs.qkd_every)
    if status is Status.QKD_UNAVAILABLE and every > 1:
        sentence += f"; a fresh one is due, {_every(ours, theirs)}"
    return sentence


def list_faults(ours: Terms, theirs: Terms) -> list[str]:
    """Return differences that work but should not stay."""
    faults = []
    if ours.policy is not theirs.policy:
        faults.append(
            f"QKD policy differs: here {_POLICY[ours.policy]}, "
            f"peer {_POLICY[theirs.policy]}"
        )
    tolerance = INTERVAL_TOLERANCE * ours.interval_ms
    if abs(ours.interval_ms - theirs.interval_ms) > tolerance:
        faults.append(
            f"rotation_interval differs: here {ours.interval_ms / 1000:g} s, "
            f"peer {theirs.interval_ms / 1000:g} s; the initiator's counts"
        )
    both_use_keys = Policy.OFF not in (ours.policy, theirs.policy)
    if both_use_keys and ours.qkd_every != theirs.qkd_every:
        faults.append(f"{_every(ours, theirs)}; the smaller one counts")
    return faults


def policy_name(policy: Policy) -> str:
    """Return a policy as the configuration spells it."""
    return _POLICY[policy]


def _every(ours: Terms, theirs: Terms) -> str:
    if ours.qkd_every == theirs.qkd_every:
        return f"qkd_every = {ours.qkd_every}"
    return f"qkd_every differs: here {ours.qkd_every}, peer {theirs.qkd_every}"


def _plane(terms: Terms) -> str:
    return terms.plane.name.lower() + (" in UDP (encap)" if terms.encap else "")
