"""The report of a simulated fibre link, beyond that of every quantum link."""

from dataclasses import dataclass

from gateway.kme.link import Block, KmeLinkStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class FibreBlock(Block):
    """A block with how it came to be. Times are like `Block.time`.

    Attributes:
        sifted_bits: Key bits before error correction and privacy amplification.
        started: When its first bit came.
        collected: When its last bit came; the rest until `time` is post-processing.
    """

    sifted_bits: int
    started: float
    collected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FibreStatus(KmeLinkStatus):
    """How a fibre link stands, in figures; `secret_rate` is per real second.

    Attributes:
        length_km: Fibre between the ends, km.
        loss_db: Between the two boxes, dB.
        alarm_qber: QBER beyond which blocks are thrown away.
        intercepted: Fraction of pulses that the eavesdropper takes.
        blocks_delivered: Blocks that gave secret bits.
        blocks_discarded: Blocks thrown away for their QBER.
        blocks_lost: Blocks cut short by an outage, before or in post-processing.
        last_block: When the last one was delivered or discarded, or None before.
        time_scale: Simulated seconds in one real second.
    """

    length_km: float
    loss_db: float
    alarm_qber: float
    intercepted: float
    blocks_delivered: int
    blocks_discarded: int
    blocks_lost: int
    last_block: float | None
    time_scale: float
