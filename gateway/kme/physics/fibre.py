"""A QKD link over fibre that delivers blocks of secret bits as time goes by.

Invariants:

* A block collects `block_size` sifted bits, then takes `post_processing_delay` to be
  delivered, while the next one collects. Its QBER is measured: drawn around what its
  bits went through. Its secret bits are what the package gives for the QBER measured.
* A block beyond `alarm_qber` is thrown away as soon as that is known, and the alarm is
  on until a block passes again.
* When the fibre fails, what is not delivered is lost; when it is mended, light comes
  first and bits after `synchronisation_time`.
* What is switched takes effect at the time of the last `step`.

Inside, time is in simulated seconds since the first step.
"""

import math
from dataclasses import replace

from gateway.errors import QuantumLinkError
from gateway.kme.link import Block, LinkState
from gateway.kme.physics.collector import Collector
from gateway.kme.physics.draws import Draws
from gateway.kme.physics.outages import Outages
from gateway.kme.physics.parameters import FibreParameters
from gateway.kme.physics.rate import (
    alarm_qber,
    operation,
    secret_bits,
    zero_rate_qber,
)
from gateway.kme.physics.report import FibreBlock, FibreStatus

MAX_TIME_SCALE = 10_000.0
"""Simulated seconds a second: an hour in 0.36 s; faster would only fill memory."""

MAX_CATCH_UP = 60.0
"""Real seconds of a pause that are made up for; a suspended machine makes no keys."""

MAX_BLOCKS = 256
"""Blocks that one step completes; what is due beyond comes in the next ones. It takes
about 10 ms to compute so many."""


class FibreLink:
    """A `gateway.kme.link.LinkModel` of decoy-state BB84 over a fibre.

    Args:
        parameters: Fibre and boxes.
        draws: Chance; the same seed and the same calls give the same blocks.
        time_scale: Simulated seconds in one real second.

    Raises:
        QuantumLinkError: The time scale is out of range, or the `qkd` package missing.
    """

    def __init__(
        self, parameters: FibreParameters, draws: Draws, *, time_scale: float = 1.0
    ) -> None:
        if not 0.0 < time_scale <= MAX_TIME_SCALE:
            raise QuantumLinkError(
                f"time cannot run {time_scale:g} times as fast",
                f"give a time scale above 0 and up to {MAX_TIME_SCALE:g}",
            )
        self._parameters = parameters
        self._scale = time_scale
        self._collector = Collector(draws, parameters.block_size)
        self._outages = Outages(
            draws, parameters.time_between_failures, parameters.time_to_repair
        )
        self._alarm_qber = alarm_qber(parameters)
        self._now: float | None = None
        self._owed = 0.0
        self._time = 0.0
        self._is_cut = False
        self._ready_at = 0.0
        self._fraction = 0.0
        self._alarmed = False
        self._qber: float | None = None
        self._last_block: float | None = None
        self._delivered = self._discarded = self._lost = 0
        self._processing: list[FibreBlock] = []

    def blocks_due(self, now: float) -> list[Block]:
        """Return the blocks since the last call, oldest first; the same as `step`."""
        return list(self.step(now))

    def step(self, now: float) -> list[FibreBlock]:
        """Let time pass; return the blocks delivered or thrown away, oldest first.

        Args:
            now: Monotonic seconds; the first call only sets it.
        """
        if self._now is None:
            self._now = now
        self._owed += max(0.0, now - self._now) * self._scale
        self._owed = min(self._owed, MAX_CATCH_UP * self._scale)
        self._now = max(now, self._now)
        until = self._time + self._owed
        done: list[FibreBlock] = []
        while self._time < until and len(done) < MAX_BLOCKS:
            done += self._advance(until)
        self._owed = until - self._time
        if done:
            self._last_block = self._real(done[-1].time)
        return [
            replace(
                block,
                time=self._real(block.time),
                started=self._real(block.started),
                collected=self._real(block.collected),
            )
            for block in done
        ]

    def down(self) -> None:
        """Cut the fibre: blocks that are not delivered yet are lost."""
        if not self._is_cut:
            self._is_cut = True
            self._lose()

    def up(self) -> None:
        """Mend it; bits come after the boxes have found each other again."""
        if self._is_cut:
            self._is_cut = False
            self._synchronise()

    def eavesdrop(self, on: bool) -> None:  # noqa: FBT001  # a switch
        """Let someone intercept and resend every pulse, or stop it."""
        self.intercept(1.0 if on else 0.0)

    def intercept(self, fraction: float) -> None:
        """Let someone intercept and resend a fraction of the pulses, 0 to 1.

        Raises:
            QuantumLinkError: It is no fraction.
        """
        if not 0.0 <= fraction <= 1.0:
            raise QuantumLinkError(f"nobody intercepts {fraction:g} of all pulses")
        self._fraction = fraction

    def status(self) -> FibreStatus:
        """Say how the link stands; the rate is what the physics gives at present."""
        state, alarm = self._state()
        current = operation(self._parameters, self._fraction)
        gives = state is LinkState.UP and current.qber <= self._alarm_qber
        return FibreStatus(
            state=state,
            qber=self._qber,
            secret_rate=current.secret_rate * self._scale if gives else 0.0,
            alarm=alarm,
            description=self._description(),
            length_km=self._parameters.length_km,
            loss_db=self._parameters.loss_db,
            alarm_qber=self._alarm_qber,
            intercepted=self._fraction,
            blocks_delivered=self._delivered,
            blocks_discarded=self._discarded,
            blocks_lost=self._lost,
            last_block=self._last_block,
            time_scale=self._scale,
        )

    def _advance(self, until: float) -> list[FibreBlock]:
        """Go to the next thing that happens, or to `until`."""
        current = operation(self._parameters, self._fraction)
        rate = current.sifted_rate if self._is_lit and self._is_ready else 0.0
        full = self._time + self._collector.time_left(rate)
        wake = math.inf if self._is_ready else self._ready_at
        due = self._processing[0].time if self._processing else math.inf
        then = min(until, full, wake, due, self._outages.next_change)
        # Errors are weighed by bits: a block may be partly listened to.
        self._collector.add(rate * (then - self._time), current.qber)
        self._time = then
        if then == self._outages.next_change:
            self._fail_or_recover()
        done = []
        if then == full:
            done += self._finish_block()
        if self._processing and self._processing[0].time <= then:
            done.append(self._processing.pop(0))
            self._delivered += 1
        return done

    def _finish_block(self) -> list[FibreBlock]:
        """Measure the block collected; return it if it is thrown away."""
        qber = self._qber = self._collector.measure()
        self._alarmed = qber > self._alarm_qber
        bits = 0 if self._alarmed else secret_bits(self._parameters, qber)
        delay = self._parameters.post_processing_delay if bits else 0.0
        block = FibreBlock(
            secret_bits=bits,
            qber=qber,
            time=self._time + delay,
            sifted_bits=self._parameters.block_size,
            started=self._collector.started,
            collected=self._time,
        )
        self._collector.begin(self._time)
        if bits:
            self._processing.append(block)
            return []
        self._discarded += 1
        return [block]

    def _fail_or_recover(self) -> None:
        self._outages.change()
        if self._outages.is_down:
            self._lose()
        else:
            self._synchronise()

    def _lose(self) -> None:
        self._lost += len(self._processing) + self._collector.has_bits
        self._processing.clear()
        self._collector.begin(self._time)

    def _synchronise(self) -> None:
        self._ready_at = self._time + self._parameters.synchronisation_time
        self._collector.started = self._ready_at

    @property
    def _is_lit(self) -> bool:
        return not (self._is_cut or self._outages.is_down)

    @property
    def _is_ready(self) -> bool:
        return self._time >= self._ready_at

    def _state(self) -> tuple[LinkState, str]:
        if not self._is_lit:
            return LinkState.DOWN, "no light comes through the fibre"
        if not self._is_ready:
            return LinkState.DOWN, "light is back, the two boxes synchronise"
        if self._alarmed:
            return LinkState.EAVESDROPPED, (
                f"QBER {self._qber:.1%} is over {self._alarm_qber:.1%}: someone may be "
                "listening, blocks are thrown away"
            )
        if not operation(self._parameters).secret_bits:
            loss = self._parameters.loss_db
            return LinkState.UP, f"no key: {loss:g} dB is too much for these boxes"
        if self._qber is not None and self._qber >= zero_rate_qber(self._parameters):
            return LinkState.UP, f"no key comes from a QBER of {self._qber:.1%}"
        return LinkState.UP, ""

    def _description(self) -> str:
        speed = f", time {self._scale:g} times as fast" if self._scale != 1.0 else ""
        return f"simulated, NOT quantum keys: {self._parameters.summary}{speed}"

    def _real(self, time: float) -> float:
        """Turn simulated seconds into those that `step` is given."""
        now = self._now if self._now is not None else 0.0
        return now - (self._time + self._owed - time) / self._scale
