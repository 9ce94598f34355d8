"""A fibre link from the figures that an operator wrote."""

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches

from gateway.errors import QuantumLinkError
from gateway.kme.physics.draws import Draws
from gateway.kme.physics.fibre import FibreLink
from gateway.kme.physics.parameters import (
    PRESETS,
    FibreParameters,
    redu_luxembourg,
)

_NAMES = tuple(field.name for field in fields(FibreParameters))


def fibre_link(figures: Mapping[str, float | str], draws: Draws) -> FibreLink:
    """Make a link.

    Args:
        figures: Those of `FibreParameters` that differ from the preset, by name; the
            preset's own name under ``preset``, else Redu-Luxembourg; ``time_scale``.
        draws: Chance.

    Raises:
        QuantumLinkError: Figures are unknown, no numbers, out of range or contradict
            each other, or the `qkd` package is missing.
    """
    wanted = dict(figures)
    preset = wanted.pop("preset", None)
    problems = [problem for item in wanted.items() for problem in _problems(*item)]
    if preset is not None and preset not in PRESETS:
        problems.append(f"preset is {preset}, not {' or '.join(PRESETS)}")
    if problems:
        raise QuantumLinkError(
            f"this fibre link cannot be: {'; '.join(problems)}",
            "docs/simulated-link.md lists the figures and their ranges",
        )
    numbers = {name: float(value) for name, value in wanted.items()}
    time_scale = numbers.pop("time_scale", 1.0)
    base = redu_luxembourg() if preset is None else PRESETS[str(preset)]()
    parameters = replace(base, **numbers)  # type: ignore[arg-type]  # checked by it
    whole = replace(parameters, block_size=int(parameters.block_size))
    return FibreLink(whole, draws, time_scale=time_scale)


def _problems(name: str, value: float | str) -> list[str]:
    if name not in (*_NAMES, "time_scale"):
        close = get_close_matches(name, _NAMES, 1)
        meant = f", perhaps {close[0]} is meant" if close else ""
        return [f"{name} is not known{meant}"]
    if isinstance(value, (str, bool)):
        return [f"{name} is not a number"]
    return []
