"""Which model of a quantum link the operator asked for."""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Final

from gateway.errors import KMEError, QuantumLinkError
from gateway.kme.constant import ConstantLink
from gateway.kme.link import LinkModel
from gateway.kme.physics.draws import SeededDraws
from gateway.kme.physics.fibre import FibreLink
from gateway.kme.physics.parameters import FibreParameters
from gateway.kme.settings import LinkSettings

DEFAULT_RATE: Final = 25_600.0
"""Secret bits a second of the constant link: a hundred keys of 256 bits."""

_DRAWS_SEED: Final = 32
"""Bytes."""


def make_model(link: LinkSettings) -> LinkModel:
    """Make the model of a link.

    Raises:
        KMEError: There is no such model, or a parameter is out of its range.
    """
    make = MODELS.get(link.model)
    if make is None:
        raise KMEError(
            f"no model of a link is called {link.model!r}",
            "one of " + ", ".join(MODELS),
        )
    return make(link.parameters)


def parameters_of(model: str) -> frozenset[str]:
    """Name the parameters that a model takes."""
    return _PARAMETERS.get(model, frozenset())


def _fibre(parameters: Mapping[str, float]) -> LinkModel:
    figures = dict(parameters)
    time_scale = figures.pop("time_scale", 1.0)
    # Chance need not repeat here, and no key is made from it.
    draws = SeededDraws(os.urandom(_DRAWS_SEED))
    try:
        fibre = FibreParameters(**figures)  # type: ignore[arg-type]  # block_size: int
        return FibreLink(fibre, draws, time_scale=time_scale)
    except QuantumLinkError as error:
        raise KMEError(error.message, error.hint) from None


def _constant(parameters: Mapping[str, float]) -> LinkModel:
    return ConstantLink(parameters.get("rate", DEFAULT_RATE))


MODELS: Final[Mapping[str, Callable[[Mapping[str, float]], LinkModel]]] = {
    "constant": _constant,
    "fibre": _fibre,
}

_PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "constant": frozenset({"rate"}),
    "fibre": frozenset({field.name for field in fields(FibreParameters)})
    | {"time_scale"},
}
