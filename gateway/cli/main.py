"""The command `qgw`: the root of its commands, and how it ends.

Whatever goes wrong ends here as one line of what went wrong, one of what to do
about it, and an exit code of docs/qgw.md; never as a traceback.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from click.exceptions import NoArgsIsHelpError

from gateway import __version__
from gateway.cli.commands import LazyCommand
from gateway.cli.exit_codes import FAILED, INTERRUPTED, OK, USAGE, exit_code_of
from gateway.cli.session import CommandSession
from gateway.cli.text import clean
from gateway.errors import ControlError, GatewayError

PROGRAM = "qgw"

_SUMMARIES: Final = {
    "tunnel": "List, show, start, stop and rotate tunnels.",
    "status": "Show the daemon, its tunnels, its links, and what is wrong.",
    "qkd": "Show, try and use the KMEs that QKD keys come from.",
    "network": "Show nodes, links, stocks of pads, and routes of relayed keys.",
    "plan": "Say whether the keys will last, for the network in FILE.",
    "keystore": "Import, count and erase QKD keys.",
    "fence": "Look after the fence, table inet qgw, by hand.",
    "identity": "Make, show and compare identities.",
    "config": "Check the configuration.",
    "reload": "Make the daemon read its configuration again.",
    "approve": "Do what another user asked for by NUMBER, or list what waits.",
    "completion": "Print the completion script for a SHELL.",
}
"""The first sentence of each command's help, so that ``qgw --help`` imports none."""


@click.group(
    commands=[LazyCommand("gateway.cli", *each) for each in _SUMMARIES.items()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.option(
    "--socket",
    # Those who may only look may not open it: theirs is beside it.
    type=click.Path(path_type=Path, readable=False),
    help="The daemon's control socket. [default: as in the configuration]",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="The main configuration file. [default: /etc/qgw/gateway.toml]",
)
@click.pass_context
def root(context: click.Context, socket: Path | None, config_path: Path | None) -> None:
    """Steer qgwd, the quantum-safe site-to-site gateway."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    context.obj = CommandSession(socket, config_path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `qgw` and return its exit code.

    Args:
        arguments: Those after the program's name; by default the process's own.
    """
    try:
        # A command that ends early through its context returns its exit code.
        code = root.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.ClickException as error:
        return _end_with_usage(error)
    except click.Abort:
        return INTERRUPTED
    except GatewayError as error:
        return _end_with(error)
    except Exception as error:  # noqa: BLE001  # an operator has no use for a traceback
        return _end_with_fault(error)
    return code if isinstance(code, int) else OK


def _end_with(error: GatewayError) -> int:
    if isinstance(error, ControlError):
        for line in error.details:
            click.echo(clean(line), err=True)
    _complain(error.message, error.hint)
    return exit_code_of(error)


def _end_with_usage(error: click.ClickException) -> int:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    _complain(message[:1].lower() + message[1:], f"see {path} --help")
    return USAGE if isinstance(error, click.UsageError) else FAILED


def _end_with_fault(error: Exception) -> int:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename).name
        place = f" at {file}:{trace.tb_lineno}"
    # The type and place alone: a message may quote what was being read.
    _complain(
        f"a fault of qgw itself: {type(error).__name__}{place}",
        "please report it, with the command line and qgw --version",
    )
    return FAILED


def _complain(message: str, hint: str) -> None:
    click.echo(f"{PROGRAM}: {clean(message)}", err=True)
    if hint:
        click.echo(f"hint: {clean(hint)}", err=True)


if __name__ == "__main__":
    sys.exit(main())
