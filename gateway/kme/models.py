"""The operator's choice of a quantum link's model."""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Final

from gateway.errors import KMEError, QuantumLinkError
from gateway.kme.constant import ConstantLink
from gateway.kme.link import LinkModel
from gateway.kme.physics.configured import fibre_link
from gateway.kme.physics.draws import SeededDraws
from gateway.kme.physics.parameters import PRESETS, FibreParameters
from gateway.kme.settings import LinkSettings
from gateway.kme.space_figures import FIGURES, PAIRS

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
    return make(link)


def parameters_of(model: str) -> frozenset[str]:
    """Name the numbers that a model takes."""
    return _PARAMETERS.get(model, frozenset())


def presets_of(model: str) -> tuple[str, ...]:
    """Name the sets of figures that a model can start from (``preset``)."""
    return _PRESETS.get(model, ())


def _fibre(link: LinkSettings) -> LinkModel:
    # Chance need not repeat here, and no key is made from it.
    draws = SeededDraws(os.urandom(_DRAWS_SEED))
    try:
        return fibre_link(link.parameters, draws)
    except QuantumLinkError as error:
        raise KMEError(error.message, error.hint) from None


def _satellite(link: LinkSettings) -> LinkModel:
    try:
        # Only who models a satellite needs sgp4 and numpy (extra `kme`).
        from gateway.kme.space_configured import satellite_link  # noqa: PLC0415
    except ImportError as error:
        raise KMEError(
            f"the satellite link needs the package {error.name}",
            "pip install 'qkd-gateway[kme]'",
        ) from None
    try:
        now = datetime.now(UTC).timestamp()
        return satellite_link(link.parameters, now, link.space)
    except QuantumLinkError as error:
        raise KMEError(error.message, error.hint) from None


def _constant(link: LinkSettings) -> LinkModel:
    return ConstantLink(float(link.parameters.get("rate", DEFAULT_RATE)))


MODELS: Final[Mapping[str, Callable[[LinkSettings], LinkModel]]] = {
    "constant": _constant,
    "fibre": _fibre,
    "satellite": _satellite,
}

_PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "constant": frozenset({"rate"}),
    "fibre": frozenset({field.name for field in fields(FibreParameters)})
    | {"time_scale"},
    "satellite": FIGURES,
}

_PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "fibre": tuple(PRESETS),
    "satellite": tuple(PAIRS),
}
