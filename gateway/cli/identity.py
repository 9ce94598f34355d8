"""``qgw identity``: making and reading identities; only ``show`` asks the daemon.

What reads and makes them is imported when it is needed, since OpenSSL's binding takes
as long to import as all the rest.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.audit import audited
from gateway.cli.render_tunnel import suite_name
from gateway.cli.session import (
    CommandSession,
    expect,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import listing
from gateway.control.schema import IdentityStatus, Method
from gateway.crypto.suite import DEFAULT_SUITE_ID, SUITE_IDS
from gateway.errors import IdentityError

if TYPE_CHECKING:
    from gateway.crypto.identity import PublicIdentity

_FILE = click.Path(path_type=Path)


@click.group()
def identity() -> None:
    """Make, show and compare identities."""


@identity.command("new")
@click.option(
    "--private",
    "private_path",
    type=_FILE,
    required=True,
    help="File to keep here, mode 0600; must not be there yet.",
)
@click.option(
    "--public",
    "public_path",
    type=_FILE,
    required=True,
    help="File to hand to the peer; must not be there yet.",
)
@click.option(
    "--suite",
    type=click.Choice([str(number) for number in SUITE_IDS]),
    default=str(DEFAULT_SUITE_ID),
    show_default=True,
    help="1: X25519 and ML-KEM-768; 2: P-384 and ML-KEM-1024 (CNSA 2.0 strengths). "
    "Both ends of a tunnel use the same.",
)
@click.option("--comment", default="", help="Written into the public file.")
def new(private_path: Path, public_path: Path, suite: str, comment: str) -> None:
    """Make a new identity: a private file and a public one."""
    from gateway.crypto.identity import format_fingerprint  # noqa: PLC0415

    with audited("identity.new", private=private_path, public=public_path):
        made = _make(private_path, public_path, suite, comment)
    click.echo(
        f"private identity: {private_path} (stays on this gateway)\n"
        f"public identity:  {public_path} (hand it to the peer)\n"
        f"fingerprint:      {format_fingerprint(made.fingerprint)}"
    )


def _make(
    private_path: Path, public_path: Path, suite: str, comment: str
) -> "PublicIdentity":
    from gateway.config.identity_files import (  # noqa: PLC0415
        write_private_identity,
        write_public_identity,
    )
    from gateway.crypto.identity import (  # noqa: PLC0415
        encode_private,
        encode_public,
        generate_identity,
    )

    if public_path.exists() or public_path.is_symlink():
        raise IdentityError(
            f"{public_path} is there already",
            "nothing is overwritten: choose another name, or move the old file away",
        )
    made = generate_identity(int(suite))
    write_private_identity(private_path, encode_private(made))
    try:
        write_public_identity(public_path, encode_public(made.public, comment))
    except IdentityError:
        # Made a moment ago and known to nobody: removing it loses nothing.
        private_path.unlink()
        raise
    return made.public


@identity.command()
@click.argument("file", type=_FILE, required=False)
@json_option
@pass_session
def show(session: CommandSession, file: Path | None, *, as_json: bool) -> None:
    """Show an identity FILE, private or public; without FILE, the daemon's own."""
    if file is None:
        status = expect(session.call(Method.IDENTITY_SHOW), IdentityStatus)
        shown: dict[str, object] = {**status}
        name = "of the running qgwd"
    else:
        from gateway.config.identity_files import load_identity  # noqa: PLC0415
        from gateway.crypto.identity import format_fingerprint  # noqa: PLC0415

        kind, public = load_identity(file)
        shown = {
            "kind": kind,
            "suite": public.suite_id,
            "fingerprint": format_fingerprint(public.fingerprint),
        }
        name = str(file)
    if as_json:
        print_json(shown)
        return
    values = [("kind", str(shown.get("kind", "")))]
    values += [("suite", suite_name(int(str(shown["suite"]))))]
    values += [("fingerprint", str(shown["fingerprint"]))]
    click.echo(listing("identity", name, values))


@identity.command()
@click.argument("file", type=_FILE)
def fingerprint(file: Path) -> None:
    """Print the fingerprint of an identity FILE, to read to the peer over a phone."""
    from gateway.config.identity_files import load_identity  # noqa: PLC0415
    from gateway.crypto.identity import format_fingerprint  # noqa: PLC0415

    _, public = load_identity(file)
    click.echo(format_fingerprint(public.fingerprint))


@identity.command("public")
@click.argument("private_file", type=_FILE)
@click.option("--comment", default="", help="Written into the public identity.")
def public_of(private_file: Path, comment: str) -> None:
    """Print the public identity that belongs to a PRIVATE_FILE."""
    from gateway.config.identity_files import load_private_identity  # noqa: PLC0415
    from gateway.crypto.identity import encode_public  # noqa: PLC0415

    private = load_private_identity(private_file)
    click.echo(encode_public(private.public, comment), nl=False)
