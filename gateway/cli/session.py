"""Common ground of all commands: the way to the daemon, options, printed results."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click

from gateway.config.defaults import DEFAULT_CONTROL_SOCKET, DEFAULT_PATH
from gateway.control.limits import CLIENT_TIMEOUT
from gateway.control.schema import ErrorCode, Method
from gateway.errors import ControlError

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

T = TypeVar("T")

_COMPLETION_TIMEOUT = 1.0
"""Seconds a shell may hang on the tab key."""


@dataclass(frozen=True, slots=True)
class CommandSession:
    """The global options.

    Attributes:
        socket: ``--socket``, or None to find it in the configuration.
        config: ``--config``, or None for the default one.
    """

    socket: Path | None
    config: Path | None

    @property
    def config_path(self) -> Path:
        """The main configuration file."""
        return self.config or DEFAULT_PATH

    def client(self, timeout: float = CLIENT_TIMEOUT) -> "ControlClient":
        """Return a client of the daemon, not yet connected."""
        # Half of the commands can do without the daemon.
        from gateway.control.client import ControlClient  # noqa: PLC0415

        path, doubt = self._find_socket()
        return ControlClient(path, timeout=timeout, doubt=doubt)

    def call(self, method: str, **params: object) -> object:
        """Ask the daemon once.

        Raises:
            ControlError: It is not there, refuses, or fails.
        """
        with self.client() as client:
            return client.call(method, params)

    def _find_socket(self) -> tuple[Path, str]:
        """Return where the daemon should be, and why it may be elsewhere."""
        if self.socket is not None:
            return self.socket, ""
        from gateway.config.files import peek  # noqa: PLC0415  # as in `client`
        from gateway.config.problems import Problems  # noqa: PLC0415

        # Only this one key is read: a configuration that has become wrong must not
        # keep its operator from the daemon that still runs with the old one.
        problems, doubt = Problems(), ""
        try:
            named = peek(self.config_path, "gateway", "control_socket", problems)
        except OSError as error:
            if self.config is not None:
                raise ControlError(
                    f"cannot read {self.config}: {(error.strerror or '').lower()}",
                    "name the socket itself: qgw --socket PATH",
                    code=ErrorCode.CONFIG,
                ) from None
            if not isinstance(error, FileNotFoundError):
                why = (error.strerror or "an error").lower()
                doubt = f"cannot read {self.config_path}: {why}"
        else:
            if isinstance(named, str) and named:
                return self.config_path.parent / named, ""
            doubt = "; ".join(map(str, problems.found[:1]))
        return DEFAULT_CONTROL_SOCKET, doubt


pass_session = click.make_pass_decorator(CommandSession)


def json_option(command: Callable[..., T]) -> Callable[..., T]:
    """Add ``--json`` to a command that reads."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, for scripts."
    )(command)


def print_json(value: object, *, compact: bool = False) -> None:
    """Print a result as JSON: indented, or on one line."""
    text = json.dumps(value) if compact else json.dumps(value, indent=2)
    click.echo(text)


def expect(value: object, shape: Callable[..., T]) -> T:
    """Return a daemon's result as the `TypedDict` it should be.

    Raises:
        ControlError: A member is missing, as from a daemon of another version.
    """
    required: frozenset[str] = getattr(shape, "__required_keys__", frozenset())
    if not isinstance(value, dict) or not required <= value.keys():
        raise ControlError(
            "the daemon's answer is not what was asked for",
            "qgw and qgwd may be of different versions: restart qgwd after an update",
        )
    return cast("T", value)


def expect_list(value: object, shape: Callable[..., T]) -> list[T]:
    """Return a daemon's result as a list of the `TypedDict` they should be.

    Raises:
        ControlError: It is no list, or one of them is not.
    """
    items = value if isinstance(value, list) else [None]
    return [expect(item, shape) for item in items]


def complete_tunnel(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Offer the names of tunnels to the shell, if the daemon can be asked."""
    return _complete(context, "tunnels", "name", incomplete)


def complete_link(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Offer the names of links to the shell, if the daemon can be asked."""
    return _complete(context, "links", "link", incomplete)


def _complete(
    context: click.Context, kind: str, field: str, incomplete: str
) -> list[str]:
    # While a shell completes, the root command does not run and makes no session.
    options = context.find_root().params
    session = CommandSession(options.get("socket"), options.get("config_path"))
    try:
        with session.client(_COMPLETION_TIMEOUT) as client:
            status = client.call(Method.STATUS)
        items = status.get(kind, []) if isinstance(status, dict) else []
        names = [str(item[field]) for item in items]
    except (ControlError, KeyError, TypeError):
        return []  # a tab key is no place for an error
    return [name for name in names if name.startswith(incomplete)]
