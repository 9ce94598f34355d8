"""Parameters of a simulated fibre link: fibre, boxes, post-processing, troubles."""

from dataclasses import dataclass, fields

from gateway.errors import QuantumLinkError

MIN_BLOCK = 100_000
"""Sifted bits: below, the statistics of a block are not nearly normal, and the bounds
for finite size leave no key anyway."""

MAX_BLOCK = 1_000_000_000
"""Sifted bits: weeks of a slow link."""

MAX_LOSS = 100.0
"""Decibels: beyond 50 or so no light is left to tell from dark counts."""

MAX_DARK_PROBABILITY = 0.1
"""Dark counts in one gate: with more, half of what a detector sees is no light even at
no loss."""

MIN_TIME_BETWEEN_FAILURES = 60.0
"""Seconds: a link that fails more often never gets a block through."""

RANGES: dict[str, tuple[float, float]] = {
    "length_km": (0.0, 500.0),
    "attenuation_db_per_km": (0.1, 5.0),
    "extra_loss_db": (0.0, MAX_LOSS),
    "total_loss_db": (0.0, MAX_LOSS),
    "clock_rate": (1e3, 1e11),
    "receiver_loss_db": (0.0, 20.0),
    "detector_efficiency": (0.001, 1.0),
    "dark_count_rate": (0.01, 1e7),
    "gate_width": (1e-12, 1e-3),
    "dead_time": (0.0, 1e-3),
    "afterpulse_probability": (0.0, 0.2),
    "misalignment_error": (0.0, 0.25),
    "signal_intensity": (0.01, 2.0),
    "decoy_intensity": (0.001, 1.0),
    "weak_decoy_intensity": (0.0, 1.0),
    "signal_probability": (0.001, 0.998),
    "decoy_probability": (0.001, 0.998),
    "key_basis_probability": (0.5, 0.999),
    "error_correction_efficiency": (1.0, 2.0),
    "secrecy": (1e-30, 0.01),
    "correctness": (1e-30, 0.01),
    "block_size": (MIN_BLOCK, MAX_BLOCK),
    "post_processing_delay": (0.0, 86400.0),
    "synchronisation_time": (0.0, 86400.0),
    "alarm_qber": (0.001, 0.5),
    "time_between_failures": (MIN_TIME_BETWEEN_FAILURES, 1e9),
    "time_to_repair": (1.0, 1e7),
}
"""Least and most of every figure, both allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FibreParameters:
    """A fibre and the two boxes at its ends. Times in seconds, rates in Hz.

    The defaults are modest boxes, gated InGaAs detectors and a clock of 100 MHz, whose
    intensities suit about 19 dB and blocks of two million bits.

    Attributes:
        length_km: Fibre between the ends, km.
        attenuation_db_per_km: Of installed fibre with its splices.
        extra_loss_db: Connectors and patch panels, dB.
        total_loss_db: End to end as measured, dB; replaces the three above.
        clock_rate: Pulses sent a second.
        receiver_loss_db: Of the receiver's optics before its detectors, dB.
        detector_efficiency: Probability that a photon at the detector makes it click.
        dark_count_rate: Dark counts a second of each of two detectors, ungated.
        gate_width: Seconds that a detector listens for each pulse.
        dead_time: Seconds without detection after a click.
        afterpulse_probability: That a click brings another, false one.
        misalignment_error: Probability that a photon goes to the wrong detector.
        signal_intensity: Photons in a signal pulse on average.
        decoy_intensity: In a decoy pulse.
        weak_decoy_intensity: In the weakest, usually vacuum.
        signal_probability: Share of signal pulses.
        decoy_probability: Share of decoy pulses; the weakest get the rest.
        key_basis_probability: That an end picks the basis that gives key.
        error_correction_efficiency: Bits disclosed over the Shannon limit.
        secrecy: How far from secret a key may be (composable epsilon).
        correctness: Probability that the two ends' keys differ.
        block_size: Sifted key bits that are post-processed together.
        post_processing_delay: From the last bit of a block to its delivery.
        synchronisation_time: From light on the fibre to the first bit.
        alarm_qber: QBER beyond which blocks are thrown away; by default half-way
            between that of the quiet link and where the key rate is zero.
        time_between_failures: On average, of random outages; None for none.
        time_to_repair: Of a random outage, on average.

    Raises:
        QuantumLinkError: Figures are out of range or contradict each other.
    """

    length_km: float = 80.0
    attenuation_db_per_km: float = 0.21
    extra_loss_db: float = 2.0
    total_loss_db: float | None = None
    clock_rate: float = 100e6
    receiver_loss_db: float = 2.0
    detector_efficiency: float = 0.10
    dark_count_rate: float = 500.0
    gate_width: float = 1e-9
    dead_time: float = 10e-6
    afterpulse_probability: float = 0.01
    misalignment_error: float = 0.015
    signal_intensity: float = 0.42
    decoy_intensity: float = 0.21
    weak_decoy_intensity: float = 0.0
    signal_probability: float = 0.25
    decoy_probability: float = 0.50
    key_basis_probability: float = 0.80
    error_correction_efficiency: float = 1.2
    secrecy: float = 1e-10
    correctness: float = 1e-15
    block_size: int = 2_000_000
    post_processing_delay: float = 20.0
    synchronisation_time: float = 60.0
    alarm_qber: float | None = None
    time_between_failures: float | None = None
    time_to_repair: float = 1800.0

    def __post_init__(self) -> None:
        problems = (*self._out_of_range(), *self._contradictions())
        if problems:
            raise QuantumLinkError(
                f"this fibre link cannot be: {'; '.join(problems)}",
                "docs/simulated-link.md lists the figures and their ranges",
            )

    @property
    def loss_db(self) -> float:
        """Loss between the two boxes, dB."""
        if self.total_loss_db is not None:
            return self.total_loss_db
        return self.length_km * self.attenuation_db_per_km + self.extra_loss_db

    @property
    def summary(self) -> str:
        """A few words on the link, for status and logs."""
        length = f"{self.length_km:g} km, " if self.total_loss_db is None else ""
        return f"decoy-state BB84 over {length}{self.loss_db:g} dB"

    def _out_of_range(self) -> list[str]:
        problems = []
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            low, high = RANGES[name]
            # A NaN compares false with everything, so it is refused as well.
            if value is not None and not low <= value <= high:
                problems.append(f"{name} is {value:g}, not {low:g} to {high:g}")
        return problems

    def _contradictions(self) -> list[str]:
        problems = []
        if not float(self.block_size).is_integer():
            problems.append("block_size is not a whole number")
        if self.total_loss_db is None and not self.loss_db <= MAX_LOSS:
            problems.append(f"the loss is {self.loss_db:g} dB, not 0 to {MAX_LOSS:g}")
        if not self.gate_width * self.clock_rate <= 1.0:
            problems.append("gate_width is longer than from one pulse to the next")
        if not self.dark_count_rate * self.gate_width <= MAX_DARK_PROBABILITY:
            problems.append("dark_count_rate fills more than a tenth of the gates")
        if not self.weak_decoy_intensity < self.decoy_intensity:
            problems.append("weak_decoy_intensity is not below decoy_intensity")
        decoys = self.decoy_intensity + self.weak_decoy_intensity
        if not decoys < self.signal_intensity:
            problems.append("the decoys' intensities are not below signal_intensity")
        if not self.signal_probability + self.decoy_probability < 1.0:
            problems.append("signal_probability and decoy_probability leave no rest")
        return problems


def redu_luxembourg() -> FibreParameters:
    """Return the default: ESEC in Redu to a data centre in Luxembourg, 80 km.

    The two are 70 to 85 km apart as the crow flies; length, loss and boxes are
    assumptions, chosen so that what the physics gives is what modest boxes are known to
    give over such a fibre: 1 to 3 kb/s.
    """
    return FibreParameters()


def metro() -> FibreParameters:
    """Return the same boxes across a town, 25 km: dead time is what limits them."""
    return FibreParameters(length_km=25.0)


def long_haul() -> FibreParameters:
    """Return the same boxes 120 km apart, near the end of their reach."""
    return FibreParameters(length_km=120.0)


PRESETS = {
    "redu-luxembourg": redu_luxembourg,
    "metro": metro,
    "long-haul": long_haul,
}
"""By the name that a configuration gives."""
