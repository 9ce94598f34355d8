"""``qgw reload``: make the daemon read its configuration again."""

import click

from gateway.cli.exit_codes import FAILED
from gateway.cli.session import (
    CommandSession,
    expect,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import clean
from gateway.control.schema import Method, ReloadResult


@click.command()
@json_option
@pass_session
def reload(session: CommandSession, *, as_json: bool) -> None:
    """Make the daemon read its configuration again.

    Only what changed is touched. When something is wrong in it, the daemon keeps
    what it has.
    """
    result = expect(session.call(Method.RELOAD), ReloadResult)
    if as_json:
        print_json(result)
    else:
        _show(result)
    if result["failed"]:
        click.get_current_context().exit(FAILED)


def _show(result: ReloadResult) -> None:
    for title, names in (
        ("added", result["added"]),
        ("removed", result["removed"]),
        ("changed", result["changed"]),
    ):
        if names:
            click.echo(f"{title}: {clean(', '.join(_describe(names, result)))}")
    if not (result["added"] or result["removed"] or result["changed"]):
        click.echo("nothing changed")
    for warning in result["warnings"]:
        click.echo(f"warning: {clean(warning)}", err=True)
    if result["restart_needed"]:
        keys = clean(", ".join(_describe(result["restart_needed"], result)))
        click.echo(
            f"not applied before a restart: {keys}\n  hint: systemctl restart qgwd "
            "(traffic goes on meanwhile)",
            err=True,
        )
    for name, reason in result["failed"].items():
        click.echo(f"qgw: {clean(name)}: {clean(reason)}", err=True)


def _describe(names: list[str], result: ReloadResult) -> list[str]:
    """Add to each name what changed of it."""
    details = result["details"]
    return [f"{name} ({details[name]})" if name in details else name for name in names]
