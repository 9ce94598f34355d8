"""``qgw completion``: the script with which a shell completes `qgw`."""

import click
from click.shell_completion import get_completion_class

from gateway.errors import GatewayError

COMPLETE_VARIABLE = "_QGW_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a SHELL.

    \b
    bash: qgw completion bash > /etc/bash_completion.d/qgw
    zsh:  qgw completion zsh > "${fpath[1]}/_qgw"
    fish: qgw completion fish > ~/.config/fish/completions/qgw.fish
    """  # noqa: D301  # \b is click's mark for lines to keep
    script = get_completion_class(shell)
    if script is None:
        raise GatewayError(f"no completion for {shell}", "use bash, zsh or fish")
    root = context.find_root().command
    click.echo(script(root, {}, "qgw", COMPLETE_VARIABLE).source())
