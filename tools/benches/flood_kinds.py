"""What strangers and a peer out of its mind send: the datagrams of each kind."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from benches.answers import OFFER, make_parameters
from benches.flood_branches import FloodBranches
from gateway.crypto.identity import PublicIdentity, generate_identity
from gateway.crypto.kdf import MAC_SIZE
from gateway.handshake.cookies import NO_MAC, Seal, make_mac2
from gateway.handshake.machine import Machine
from gateway.wire.header import HEADER_SIZE, VERSION, Type, decode_header
from gateway.wire.payloads import Policy

ON_LINK = "192.0.2.0/24"
ROUTABLE = "198.18.0.0/16"
SHAPES = 2000
"""Different datagrams of a kind, sent in turn."""

WHOLE = 400
"""Different initiations of a kind."""

_MACS = 2 * MAC_SIZE
_TYPES = tuple(Type)


@dataclass(frozen=True, slots=True)
class Scene:
    """What the floods are made of.

    Attributes:
        hub: The hub's identity.
        branches: The honest ones.
        mad: A peer out of its mind.
        mad_name: Its tunnel.
        stranger: A socket where the flood comes from.
        mad_socket: That peer's.
        branch_port: Where the branches are.
        mad_port: Where that peer is.
        stranger_port: Where the flood comes from.
        branch_host: The branches' host.
        stranger_host: The flood's.
    """

    hub: PublicIdentity
    branches: FloodBranches
    mad: FloodBranches
    mad_name: str
    stranger: socket.socket
    mad_socket: socket.socket
    branch_port: int
    mad_port: int
    stranger_port: int
    branch_host: str
    stranger_host: str


@dataclass(frozen=True, slots=True)
class Shot:
    """A flood.

    Attributes:
        datagrams: Sent in turn.
        sources: A prefix.
        port: Source port.
    """

    datagrams: list[bytes]
    sources: str
    port: int


def garbage(scene: Scene) -> Shot:
    """Random bytes of any size, half of them behind a header that is right."""
    found = []
    for number in range(SHAPES):
        noise = os.urandom(number * 7 % 1400)
        if number % 2:
            kind = _TYPES[number // 2 % len(_TYPES)]
            noise = bytes([0, 0, 0, 0, VERSION, kind, 0, 1]) + os.urandom(8) + noise
        found.append(noise)
    return Shot(found, ROUTABLE, scene.stranger_port)


def _fragments(scene: Scene) -> list[bytes]:
    """First fragments of initiations that never end, with a mac1 that verifies."""
    seal = Seal(scene.hub)
    whole = next(
        data
        for data in scene.branches.sent
        if (header := decode_header(data)).type is Type.INITIATION and not header.index
    )
    heads = [
        whole[:8] + os.urandom(8) + whole[HEADER_SIZE:-_MACS] for _ in range(SHAPES)
    ]
    return [head + seal.mac1(head) + NO_MAC for head in heads]


def on_link(scene: Scene) -> Shot:
    """Fragments from the hub's own subnet, where nobody lives."""
    return Shot(_fragments(scene), ON_LINK, scene.stranger_port)


def routable(scene: Scene) -> Shot:
    """Fragments from everywhere else."""
    return Shot(_fragments(scene), ROUTABLE, scene.stranger_port)


def replays(scene: Scene) -> Shot:
    """All that the branches sent last, from their own address and port."""
    recorded = list(scene.branches.sent)
    return Shot(recorded, f"{scene.branch_host}/32", scene.branch_port)


def unknown(scene: Scene) -> Shot:
    """Whole initiations of identities that nobody pinned."""
    found: list[bytes] = []
    machine = Machine(random=os.urandom)
    for number in range(WHOLE):
        name = f"unknown-{number}"
        machine.add_tunnel(
            make_parameters(
                name,
                generate_identity(1),
                scene.hub,
                initiator=True,
                policy=Policy.OFF,
            )
        )
        found += _initiation(machine, name, 1)
    return Shot(found, f"{scene.stranger_host}/32", scene.stranger_port)


def mad(scene: Scene) -> Shot:
    """Fresh initiations of a peer that is pinned, and has had an epoch."""
    machine = scene.mad.driver.machine
    last = machine.committed(scene.mad_name)
    found: list[bytes] = []
    for number in range(WHOLE):
        found += _initiation(machine, scene.mad_name, last + 1 + number)
    return Shot(found, f"{scene.branch_host}/32", scene.mad_port)


def with_cookie(shot: Shot, hub: PublicIdentity, sock: socket.socket) -> Shot:
    """Return a flood with the cookie that its sender was given meanwhile, if any.

    Args:
        shot: Whole initiations.
        hub: Whom they call.
        sock: Bound to where they come from.
    """
    mac1s = {
        data[8:HEADER_SIZE]: data[-_MACS:-MAC_SIZE]
        for data in shot.datagrams
        if not decode_header(data).index
    }
    while True:
        try:
            reply = sock.recv(2048)
        except BlockingIOError:
            return shot
        header = decode_header(reply)
        if header.type is Type.COOKIE_REPLY and header.session_id in mac1s:
            break
    cookie = Seal(hub).open_cookie(reply, mac1s[header.session_id])
    starts = (data[:-MAC_SIZE] for data in shot.datagrams)
    shown = [start + make_mac2(cookie, start) for start in starts]
    return Shot(shown, shot.sources, shot.port)


def _initiation(machine: Machine, name: str, epoch: int) -> list[bytes]:
    machine.start_handshake(
        name, epoch=epoch, key_ids=(), plane_offer=OFFER, address="hub", now=0.0
    )
    return [data for data, _ in machine.datagrams_to_send()]


KINDS: dict[str, Callable[[Scene], Shot] | None] = {
    "none": None,
    "garbage": garbage,
    "onlink": on_link,
    "routable": routable,
    "replays": replays,
    "unknown": unknown,
    "mad": mad,
}
"""By the last part of a figure's name; nothing is sent in the first."""
