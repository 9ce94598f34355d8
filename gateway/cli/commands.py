"""Commands by name: each is imported when it is called, and no other."""

from collections.abc import Iterable, Iterator, MutableMapping
from importlib import import_module

import click


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a group, a module each, which has the command's own name.

    Names are known without an import: for completion, and for "did you mean".
    """

    def __init__(self, package: str, names: Iterable[str]) -> None:
        """Name the commands.

        Args:
            package: Where the modules are: ``gateway.cli``.
            names: Of the modules, and of the command in each.
        """
        self._package = package
        self._found: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        found = self._found[name]
        if found is None:
            found = self._found[name] = self._load(name)
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _load(self, name: str) -> click.Command:
        command = getattr(import_module(f"{self._package}.{name}"), name, None)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._package}.{name} holds no command {name}")
        return command
