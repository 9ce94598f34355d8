"""``qgw reload``: make the daemon read its configuration again."""

import click

from gateway.cli.session import Session, expect, json_option, pass_session, print_json
from gateway.cli.text import clean
from gateway.control.schema import Method, ReloadResult


@click.command()
@json_option
@pass_session
def reload(session: Session, *, as_json: bool) -> None:
    """Make the daemon read its configuration again.

    Only what changed is touched. When something is wrong in it, the daemon keeps
    what it has.
    """
    result = expect(session.call(Method.RELOAD), ReloadResult)
    if as_json:
        print_json(result)
        return
    for title, names in (
        ("added", result["added"]),
        ("removed", result["removed"]),
        ("changed", result["changed"]),
    ):
        if names:
            click.echo(f"{title}: {clean(', '.join(names))}")
    if not (result["added"] or result["removed"] or result["changed"]):
        click.echo("nothing changed")
    if result["restart_needed"]:
        keys = clean(", ".join(result["restart_needed"]))
        click.echo(
            f"not applied before a restart: {keys}\n  hint: systemctl restart qgwd "
            "(traffic goes on meanwhile)",
            err=True,
        )
