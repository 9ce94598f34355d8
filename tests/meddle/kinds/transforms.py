"""XFRM policies and states that others flush, delete and add."""

from lab.two_sites import NET, NET6

from tests.meddle.kind import ESP, FLOWS, Phase, Spot, Steps, kind


@kind(last_word=True)
def policies_flushed(at: Spot) -> Steps:
    """All of them."""
    at.ip("xfrm", "policy", "flush")
    yield FLOWS


@kind(last_word=True, seconds=4.0)
def states_flushed(at: Spot) -> Steps:
    """The keys of every epoch."""
    at.ip("xfrm", "state", "flush")
    yield FLOWS


@kind(last_word=True, seconds=4.0)
def policies_and_states_flushed(at: Spot) -> Steps:
    """As a second IKE daemon does at its start."""
    at.ip("xfrm", "state", "flush")
    at.ip("xfrm", "policy", "flush")
    yield FLOWS


def _policies(at: Spot, direction: str) -> list[tuple[str, ...]]:
    """Return what names each policy of a direction, for `ip xfrm policy delete`."""
    found = []
    selector: list[str] = []
    for line in at.ip("xfrm", "policy").splitlines():
        words = line.split()
        if line.startswith("src"):
            selector = words[:4]
        elif line.strip().startswith("dir ") and words[1] == direction:
            found.append((*selector, "dir", direction))
        elif line.strip().startswith("if_id") and found:
            found[-1] = (*found[-1], *words[:2])
    return found


def _deleted(at: Spot, direction: str) -> Steps:
    for policy in _policies(at, direction):
        at.ip("xfrm", "policy", "delete", *policy)
    yield FLOWS


@kind(planes=ESP, last_word=True)
def outward_policies_deleted(at: Spot) -> Steps:
    """What encrypts."""
    yield from _deleted(at, "out")


@kind(planes=ESP, last_word=True)
def inward_policies_deleted(at: Spot) -> Steps:
    """What demands that packets came encrypted."""
    yield from _deleted(at, "in")


@kind(planes=ESP, last_word=True)
def forward_policies_deleted(at: Spot) -> Steps:
    """The same for what is forwarded."""
    yield from _deleted(at, "fwd")


def _foreign(at: Spot, direction: str, *ends: str) -> Steps:
    for source, target in (ends[:2], ends[2:]):
        selector = ("src", source, "dst", target, "dir", direction)
        at.ip("xfrm", "policy", "add", *selector, "priority", "1", "action", "allow")
    # Whether it still flows is the administrator's will; not in clear.
    yield Phase(lasts=1.0)
    for source, target in (ends[:2], ends[2:]):
        selector = ("src", source, "dst", target, "dir", direction)
        at.ip("xfrm", "policy", "delete", *selector, check=False)


@kind()
def foreign_policy_lets_out(at: Spot) -> Steps:
    """An allow policy above ours."""
    near, far = at.letter, at.peer
    yield from _foreign(at, "out", NET[near], NET[far], NET6[near], NET6[far])


@kind()
def foreign_policy_lets_in(at: Spot) -> Steps:
    """The same for what is forwarded inward."""
    near, far = at.letter, at.peer
    yield from _foreign(at, "fwd", NET[far], NET[near], NET6[far], NET6[near])
