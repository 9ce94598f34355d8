"""The yield of a fibre link, computed by the `qkd` package and nowhere else.

Asymptotic rate: Ma, Qi, Zhao, Lo, Phys. Rev. A 72, 012326 (2005). Finite size: Lim,
Curty, Walenta, Xu, Zbinden, Phys. Rev. A 89, 022307 (2014). This module only says what
the package is asked, and turns its bits per pulse into bits per second.
"""

import importlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.errors import QuantumLinkError
from gateway.kme.physics.parameters import FibreParameters

_PROBE = 1e9
"""Pulses of the block that is evaluated to learn how many bits a pulse gives: counts
are proportional to pulses, so any number would do."""

_FULL_ATTACK_ERROR = 0.25
"""Of sifted bits that were intercepted and resent: half were measured in the wrong
basis, and half of those come out wrong."""

_MAX_MISALIGNMENT = 0.4
"""What a QBER is traced back to at most: close to a half the package may round an error
rate beyond it, which it refuses, and key is out of reach long before."""

_BISECTIONS = 24
"""Halvings of 0 to 0.5: below what the statistics of the largest block tell apart."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What the link does on average under some conditions.

    Attributes:
        qber: Error rate of the sifted key bits, 0 to 0.5.
        sifted_rate: Sifted key bits a second.
        secret_bits: Secret bits that a block of the configured size gives.
        secret_rate: Secret bits a second, finite size counted in.
    """

    qber: float
    sifted_rate: float
    secret_bits: int
    secret_rate: float


def intercepted(misalignment: float, fraction: float) -> float:
    """Return the misalignment error when a fraction of pulses is intercepted.

    Error probabilities of two independent stages: one errs, but not both. For small
    misalignment it rises by a quarter of the fraction.
    """
    added = fraction * _FULL_ATTACK_ERROR
    return misalignment + added - 2.0 * misalignment * added


@lru_cache(maxsize=256)
def operation(parameters: FibreParameters, fraction: float = 0.0) -> Operation:
    """Compute what a link does when a fraction of its pulses is intercepted.

    Args:
        parameters: The link.
        fraction: 0 for the quiet link to 1; the attacker makes up for loss, so that
            only errors betray the attack.

    Raises:
        QuantumLinkError: The `qkd` package is missing.
    """
    return _operation(parameters, intercepted(parameters.misalignment_error, fraction))


def secret_bits(parameters: FibreParameters, qber: float) -> int:
    """Return the secret bits of a block in which this QBER was measured."""
    return _operation(parameters, _misalignment(parameters, qber)).secret_bits


def asymptotic_bits(parameters: FibreParameters) -> float:
    """Return secret bits per pulse as papers draw them over length.

    Of a link whose blocks have no end and whose pulses are all signal pulses; below
    zero where it gives no key.
    """
    misalignment = parameters.misalignment_error
    block = _evaluate(_package(), parameters, misalignment, _PROBE)
    return float(block.explain["key_asymptotic"]["value"])


@lru_cache(maxsize=64)
def zero_rate_qber(parameters: FibreParameters) -> float:
    """Return the QBER from which on a block gives no secret bit.

    The quiet link's own QBER if not even that gives any.
    """
    low = operation(parameters).qber
    if not operation(parameters).secret_bits:
        return low
    high = 0.5
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if secret_bits(parameters, middle):
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=64)
def alarm_qber(parameters: FibreParameters) -> float:
    """Return the QBER beyond which blocks are thrown away.

    Half-way to where the key rate is zero, so the alarm comes before; on a link that
    gives no key at all, half-way to what a full attack shows.
    """
    if parameters.alarm_qber is not None:
        return parameters.alarm_qber
    quiet = operation(parameters)
    worst = (
        zero_rate_qber(parameters)
        if quiet.secret_bits
        else operation(parameters, 1.0).qber
    )
    return (quiet.qber + worst) / 2.0


def _operation(parameters: FibreParameters, misalignment: float) -> Operation:
    package = _package()
    probe = _evaluate(package, parameters, misalignment, _PROBE)
    sifted_per_pulse = float(probe.n_key) / _PROBE
    # Of all clicks in the signal and decoy pulses, those with both ends in key basis.
    clicks = sifted_per_pulse / parameters.key_basis_probability**2
    seen = package.impairments.saturate(
        clicks * parameters.clock_rate, parameters.dead_time
    )
    live_rate = float(seen) / clicks
    pulses = parameters.block_size / sifted_per_pulse
    block = _evaluate(package, parameters, misalignment, pulses)
    bits = int(block.key_length)
    return Operation(
        qber=float(block.explain["e_key"]["value"]),
        sifted_rate=sifted_per_pulse * live_rate,
        secret_bits=bits,
        secret_rate=bits / pulses * live_rate,
    )


def _misalignment(parameters: FibreParameters, qber: float) -> float:
    """Return the misalignment that would show this QBER: one is affine in the other."""
    none, quarter = _affine_qber(parameters)
    if quarter <= none:
        return _MAX_MISALIGNMENT  # Nothing but dark counts: there is no key anyway.
    traced = (qber - none) / (quarter - none) * 0.25
    return min(max(traced, 0.0), _MAX_MISALIGNMENT)


@lru_cache(maxsize=64)
def _affine_qber(parameters: FibreParameters) -> tuple[float, float]:
    """Return the QBER without misalignment, and with a quarter."""
    return _operation(parameters, 0.0).qber, _operation(parameters, 0.25).qber


def _evaluate(
    package: Any,  # noqa: ANN401  # the package has no types
    parameters: FibreParameters,
    misalignment: float,
    pulses: float,
) -> Any:  # noqa: ANN401  # likewise
    """Ask the package for a block of so many pulses."""
    key_basis = parameters.key_basis_probability
    loss = parameters.loss_db + parameters.receiver_loss_db
    shares = (parameters.signal_probability, parameters.decoy_probability)
    source = package.Decoy(
        intensities=(
            parameters.signal_intensity,
            parameters.decoy_intensity,
            parameters.weak_decoy_intensity,
        ),
        probs=(*shares, 1.0 - sum(shares)),
    )
    detector = package.ClickDetector.gated(
        parameters.dark_count_rate,
        parameters.gate_width,
        eta=parameters.detector_efficiency,
    )
    link = package.Link(
        # Sifted are the pulses for which both ends picked the same basis.
        modulation=package.BasisKeying(
            decoy=source, sift=key_basis**2 + (1.0 - key_basis) ** 2
        ),
        channel=package.Channel(T=10.0 ** (-loss / 10.0)),
        bob=package.Bob(
            detector=detector, receiver=package.BasisAnalyser(misalign=misalignment)
        ),
        security=package.SplittingAttack(
            f=parameters.error_correction_efficiency,
            block=package.KeyBlock(
                n=pulses, eps_sec=parameters.secrecy, eps_cor=parameters.correctness
            ),
        ),
        # Its closed form has afterpulses but no dead time, which is counted above.
        impairments=(
            package.DeadTime(dead=0.0, afterpulse=parameters.afterpulse_probability),
        ),
    )
    return link.run()


@lru_cache(maxsize=1)
def _package() -> Any:  # noqa: ANN401  # the package has no types
    # Only who simulates needs it, and it takes 0.2 s to load.
    try:
        return importlib.import_module("qkd")
    except ImportError as error:
        raise QuantumLinkError(
            f"the qkd package, which computes key rates, cannot be loaded: {error}",
            "install it with: pip install 'qkd-gateway[kme]'",
        ) from error
