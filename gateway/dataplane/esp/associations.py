"""SAs as XFRM requests, and what the kernel answers of them."""

import math
import socket
from dataclasses import dataclass, field
from typing import Any

from gateway.dataplane.base import EpochInstall
from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm.messages import HEADER_SIZE, build
from gateway.dataplane.xfrm.structs import (
    ADDRESS_SIZE,
    pack_address,
    unpack_address,
    xfrm_lifetime_cur,
    xfrm_usersa_info,
)
from gateway.errors import DataPlaneError
from gateway.host.marks import OUTER_MARK, OUTER_MASK

AEAD = "rfc4106(gcm(aes))"
KEY_SIZE = 36
"""AES-256 key and 4-byte salt (RFC 4106 clause 8.1)."""
ICV_BITS = 128

REPLAY_WINDOW = 4096
"""Packets that may arrive out of order. Several receive queues and paths reorder
by some hundred packets at 10 Gb/s; 512 bytes for each SA leave room."""

SENDING_WINDOW = 32
"""An SA that only sends has no use for a window; ESN wants one of at least 1 word."""

SPI_SIZE = 4
MIN_SPI = 256
"""RFC 4303 clause 2.1: 1 to 255 are reserved, 0 is for local use."""

EPOCH_MASK = 0x7FFF_FFFF
"""Bits of the epoch kept in the SA's `seq`: 136 years of an epoch every 2 s."""
INBOUND_BIT = 0x8000_0000
"""Bit of `seq` that tells an SA for receiving."""

ANSWER_SIZE = HEADER_SIZE + xfrm_usersa_info.size()
"""What to keep of an answer to GETSA: all but the attributes, which hold the key."""

CURRENT_OFFSET = HEADER_SIZE + xfrm_usersa_info.offset_of("curlft")

NAME_START = HEADER_SIZE + xfrm_usersa_info.offset_of("id")
NAME_END = NAME_START + ADDRESS_SIZE + SPI_SIZE
"""Where an answer to GETSA has what names the SA: destination and SPI."""


@dataclass(frozen=True, slots=True)
class Association:
    """One SA, by what names it in the kernel.

    Attributes:
        source: Outer address of its sender.
        destination: Outer address of its receiver.
        spi: Its SPI.
        question: The encoded GETSA request, asked many times.
    """

    source: str
    destination: str
    spi: int
    question: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        question = bytes(build(c.XFRM_MSG_GETSA, {"info": self._identifier()}))
        object.__setattr__(self, "question", question)

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6, outside."""
        return int(socket.AF_INET6 if ":" in self.destination else socket.AF_INET)

    @property
    def name(self) -> bytes:
        """Destination and SPI as an answer to GETSA has them."""
        return pack_address(self.destination) + self.spi.to_bytes(SPI_SIZE)

    def deletion(self) -> bytearray:
        """Return a DELSA request."""
        return build(c.XFRM_MSG_DELSA, {"info": self._identifier()})

    def _identifier(self) -> dict[str, Any]:
        return {
            "daddr": self.destination,
            "spi": self.spi,
            "family": self.family,
            "proto": socket.IPPROTO_ESP,
        }


@dataclass(slots=True)
class Pair:
    """The two SAs of one epoch.

    Attributes:
        epoch: The epoch, or after a restart its low 31 bits.
        inbound: What we receive with; None if it was gone when we started.
        outbound: What we send with; None likewise.
        received: Whether anything has arrived under it.
        sent: Packets sent when last polled.
        can_send: Whether the sending SA was there when last asked.
        counted_in: Packets and bytes received when last asked.
        counted_out: Packets and bytes sent when last asked.
    """

    epoch: int
    inbound: Association | None
    outbound: Association | None
    received: bool = False
    sent: int = 0
    can_send: bool = True
    counted_in: tuple[int, int] = (0, 0)
    counted_out: tuple[int, int] = (0, 0)

    def associations(self) -> list[Association]:
        """Return those of the two that there are."""
        return [sa for sa in (self.inbound, self.outbound) if sa is not None]


def pair_of(install: EpochInstall) -> Pair:
    """Name the SAs of an epoch before they are installed.

    Raises:
        DataPlaneError: An offer is no SPI, or the addresses are of two families.
    """
    local, peer = install.local_address[0], install.peer_address[0]
    if (":" in local) != (":" in peer):
        raise DataPlaneError(f"{local} cannot send to {peer}: two address families")
    return Pair(
        install.epoch,
        inbound=Association(peer, local, decode_spi(install.local_offer)),
        outbound=Association(local, peer, decode_spi(install.peer_offer)),
    )


def decode_spi(offer: bytes) -> int:
    """Return the SPI that an offer holds.

    Raises:
        DataPlaneError: It is not 4 bytes, or reserved.
    """
    spi = int.from_bytes(offer, "big")
    if len(offer) != SPI_SIZE or spi < MIN_SPI:
        raise DataPlaneError("an offer for ESP must be a 4-byte SPI of at least 256")
    return spi


def creations(
    pair: Pair, install: EpochInstall, *, reqid: int, if_id: int, encap: bool
) -> list[bytearray]:
    """Return the two NEWSA requests of an epoch, receiving first.

    Raises:
        DataPlaneError: A key has the wrong size.
    """
    keys = (install.keys.esp_receive, install.keys.esp_send)
    if any(len(key) != KEY_SIZE for key in keys):
        raise DataPlaneError(f"an ESP key must have {KEY_SIZE} bytes")
    local_port, peer_port = install.local_address[1], install.peer_address[1]
    requests = []
    for association, key, inbound in (
        (pair.inbound, keys[0], True),
        (pair.outbound, keys[1], False),
    ):
        assert association is not None  # noqa: S101  # made by pair_of
        window = REPLAY_WINDOW if inbound else SENDING_WINDOW
        attributes: dict[str, Any] = {
            "XFRMA_ALG_AEAD": {
                "alg_name": AEAD,
                "alg_key": key.expose(),
                "alg_icv_len": ICV_BITS,
            },
            "XFRMA_REPLAY_ESN_VAL": {"replay_window": window},
        }
        if encap:
            ports = (peer_port, local_port) if inbound else (local_port, peer_port)
            attributes["XFRMA_ENCAP"] = {
                "encap_type": c.UDP_ENCAP_ESPINUDP,
                "encap_sport": ports[0],
                "encap_dport": ports[1],
            }
        if if_id:
            attributes["XFRMA_IF_ID"] = if_id
        if not inbound:
            # Counts for the outer packet's own route, too (docs/adr/0210).
            attributes["XFRMA_SET_MARK"] = OUTER_MARK
            attributes["XFRMA_SET_MARK_MASK"] = OUTER_MASK
        direction = INBOUND_BIT if inbound else 0
        info = {
            "id": {
                "daddr": association.destination,
                "spi": association.spi,
                "proto": socket.IPPROTO_ESP,
            },
            "saddr": association.source,
            "lft": {"hard_add_expires_seconds": max(1, math.ceil(install.lifetime))},
            "seq": direction | (install.epoch & EPOCH_MASK),
            "reqid": reqid,
            "family": association.family,
            "mode": c.XFRM_MODE_TUNNEL,
            # No selector, so that IPv4 and IPv6 both travel inside.
            "flags": c.XFRM_STATE_ESN | c.XFRM_STATE_AF_UNSPEC,
        }
        requests.append(build(c.XFRM_MSG_NEWSA, {"info": info}, attributes))
    return requests


@dataclass(frozen=True, slots=True)
class Found:
    """An SA seen in a dump."""

    reqid: int
    epoch: int
    inbound: bool
    association: Association


def read_found(message: bytes) -> Found:
    """Read whose SA an answer is about, for which epoch and direction."""
    info = xfrm_usersa_info.unpack_from(message, HEADER_SIZE)
    family = info["family"]
    association = Association(
        unpack_address(info["saddr"], family),
        unpack_address(info["id"]["daddr"], family),
        info["id"]["spi"],
    )
    seq = info["seq"]
    return Found(info["reqid"], seq & EPOCH_MASK, bool(seq & INBOUND_BIT), association)


def read_counters(message: bytes | None) -> tuple[int, int]:
    """Return packets and bytes of an answer to GETSA; zeros if there was none."""
    if message is None:
        return 0, 0
    current = xfrm_lifetime_cur.unpack_from(message, CURRENT_OFFSET)
    return current["packets"], current["bytes"]
