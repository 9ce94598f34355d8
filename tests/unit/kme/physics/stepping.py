"""A fibre link stepped as a KME steps it."""

from gateway.kme.physics.draws import SeededDraws
from gateway.kme.physics.fibre import FibreLink
from gateway.kme.physics.parameters import FibreParameters, redu_luxembourg
from gateway.kme.physics.rate import operation
from gateway.kme.physics.report import FibreBlock

REDU = redu_luxembourg()
PERIOD = REDU.block_size / operation(REDU).sifted_rate
"""Seconds in which the default link collects a block, on average: about 207."""


def make(
    parameters: FibreParameters = REDU, seed: bytes = b"link", scale: float = 1.0
) -> FibreLink:
    return FibreLink(parameters, SeededDraws(seed), time_scale=scale)


def run(
    link: FibreLink, start: float, seconds: float, tick: float = 1.0
) -> list[FibreBlock]:
    """Step the link from `start`, as a KME does, and return all blocks."""
    blocks = []
    for count in range(int(seconds / tick) + 1):
        blocks += link.step(start + count * tick)
    return blocks
