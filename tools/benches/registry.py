"""Which figures there are, and which of them were asked for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benches.figures import Figure


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes.

    Attributes:
        wanted: Names of the figures asked for.
        quick: Fewer repetitions: for a look, not for a record.
        say: Tells whoever waits what is going on.
    """

    wanted: frozenset[str]
    quick: bool
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """Figures that are measured together.

    Attributes:
        names: Its figures.
        run: Measures those that `Options.wanted` holds, and may return more.
    """

    names: tuple[str, ...]
    run: Callable[[Options], list[Figure]]


class UnknownFigureError(Exception):
    """Raised when a name is neither a figure nor the beginning of one."""


def choose_names(known: Sequence[str], asked: Iterable[str]) -> frozenset[str]:
    """Return the figures that some names mean; all for none.

    A whole name means that figure alone, though others may begin with it.

    Raises:
        UnknownFigureError: A name means nothing.
    """
    chosen: set[str] = set()
    for name in asked:
        found = {name} & set(known) or {one for one in known if one.startswith(name)}
        if not found:
            raise UnknownFigureError(name)
        chosen |= found
    return frozenset(chosen or known)


def _run(bench: Bench, options: Options) -> list[Figure]:
    """Run a bench; one that breaks off must not take the others' figures with it."""
    try:
        return bench.run(options)
    except Exception as error:  # noqa: BLE001  # whatever it was, it is reported
        options.say(f"failed: {error}")
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [
            Figure(name, None, "", note=f"failed: {first}", failed=True)
            for name in bench.names
        ]


def run_benches(benches: Iterable[Bench], options: Options) -> list[Figure]:
    """Run every bench that has a figure asked for; return the figures asked for."""
    figures: list[Figure] = []
    for bench in benches:
        if not options.wanted.isdisjoint(bench.names):
            measured = {figure.name: figure for figure in _run(bench, options)}
            figures += [
                measured[name]
                for name in bench.names
                if name in options.wanted and name in measured
            ]
    return figures
