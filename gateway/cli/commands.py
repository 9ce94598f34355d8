"""Commands by name and summary: each is imported when it is called, and no other."""

from importlib import import_module
from typing import Any

import click


class LazyCommand(click.Command):
    """A command of which name and summary alone are known until it is called.

    Help, completion and "did you mean" of its group need no more.
    """

    def __init__(self, package: str, name: str, summary: str) -> None:
        """Name the command.

        Args:
            package: Where its module is: ``gateway.cli``.
            name: Of its module, and of the command in it.
            summary: The first sentence of its help.
        """
        super().__init__(name, short_help=summary)
        self._package = package
        self._name = name

    def load(self) -> click.Command:
        """Import the command.

        Raises:
            TypeError: The module has no command of that name.
        """
        module = import_module(f"{self._package}.{self._name}")
        command = getattr(module, self._name, None)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__} holds no command {self._name}")
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401  # as click has it
    ) -> click.Context:
        """Return the context of the command itself, which `click` goes on with."""
        return self.load().make_context(info_name, args, parent, **extra)
