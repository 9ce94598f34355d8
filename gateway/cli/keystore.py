"""``qgw keystore``: the stock of QKD keys, and the secrets beside it.

Keys come in by file or standard input, never as an argument, and leave for the
daemon over its socket in batches.
"""

import base64
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from gateway.cli.audit import audited
from gateway.cli.exit_codes import PARTLY
from gateway.cli.render import link_table
from gateway.cli.session import (
    CommandSession,
    complete_link,
    expect,
    expect_list,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import clean
from gateway.control.limits import IMPORT_BATCH
from gateway.control.schema import (
    ImportResult,
    LinkStatus,
    Method,
    PurgeResult,
    RefusedKey,
)
from gateway.errors import GatewayError, KeyFileError
from gateway.keystore.base import NewKey
from gateway.keystore.container import MAX_CONTAINER_BYTES, parse_container
from gateway.units import plural
from gateway.wire.key_ids import key_id_text

MAX_SHOWN = 20
"""Refused keys listed on a terminal; --json lists all."""

_REASONS = {
    "duplicate": "is in the stock, or earlier in the file",
    "other-bytes": "is in the stock, or earlier in the file, with other bytes",
    "used": "was used before",
    "expired": "expired before",
    "other-link": "is or was a key of another link",
    "short": "has less than 256 bits",
    "long": "has more than 256 bits",
    "malformed": "is not a key_ID with a base64 key",
    "constant": "has 32 equal bytes, which no source of keys gives",
    "same-bytes": "has the bytes of another key",
}

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH

_link = click.option(
    "--link", required=True, shell_complete=complete_link, help="Name of the QKD link."
)


@click.group()
def keystore() -> None:
    """Import, count and erase QKD keys."""


@keystore.command("import")
@_link
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@json_option
@pass_session
def import_keys(
    session: CommandSession, link: str, file: Path, *, as_json: bool
) -> None:
    """Import keys from FILE (- for standard input), an ETSI GS QKD 014 container.

    Bad keys are refused one by one, the others are taken in; exit code 6 says that
    some were refused. Importing a file twice does no harm.
    """
    container = parse_container(_read_container(file))
    refused = [
        RefusedKey(key_id=item.key_id, reason=item.reason) for item in container.refused
    ]
    added = 0
    with session.client() as client:
        for start in range(0, len(container.keys), IMPORT_BATCH):
            batch = container.keys[start : start + IMPORT_BATCH]
            params = {"link": link, "keys": [_to_wire(key) for key in batch]}
            try:
                answer = client.call(Method.KEYSTORE_IMPORT, params)
            except GatewayError:
                if added:
                    # What is durable is durable: say so before the error does.
                    click.echo(f"imported {plural(added, 'key')} before it failed")
                raise
            result = expect(answer, ImportResult)
            added += result["added"]
            refused += result["refused"]
    if as_json:
        print_json(ImportResult(added=added, refused=refused))
    else:
        _report(link, added, refused)
    if refused:
        click.get_current_context().exit(PARTLY)


@keystore.command()
@click.argument("link", required=False, shell_complete=complete_link)
@json_option
@pass_session
def status(session: CommandSession, link: str | None, *, as_json: bool) -> None:
    """Show how the stock of every link, or of LINK, stands."""
    params = {} if link is None else {"link": link}
    links = expect_list(session.call(Method.KEYSTORE_STATUS, **params), LinkStatus)
    if as_json:
        print_json(links)
    else:
        click.echo(link_table(links))


@keystore.command()
@_link
@click.option(
    "--all", "all_keys", is_flag=True, help="Erase every unused key, not only expired."
)
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@pass_session
def purge(session: CommandSession, link: str, *, all_keys: bool, yes: bool) -> None:
    """Erase the expired keys of a link, or all that are unused.

    Erased keys count as used and cannot be imported again.
    """
    if all_keys and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "--all needs --yes where nobody can be asked",
                ctx=click.get_current_context(),
            )
        click.confirm(f"Erase every unused key of link {clean(link)}?", abort=True)
    answer = session.call(Method.KEYSTORE_PURGE, link=link, all=all_keys)
    erased = expect(answer, PurgeResult)["erased"]
    click.echo(f"erased {plural(erased, 'key')} of link {clean(link)}")


@keystore.command("new-master-key")
@click.argument("file", type=click.Path(path_type=Path))
def new_master_key(file: Path) -> None:
    """Write a new master key for the key store to FILE, mode 0600.

    The store's keys can be read with it alone: back it up, or lose them with it.
    """
    # It brings OpenSSL's binding, which no other command here needs.
    from gateway.keystore.master_key import create_master_key  # noqa: PLC0415

    with audited("keystore.new-master-key", file=file):
        create_master_key(file)


@keystore.command("new-seed")
@click.argument("file", type=click.Path(path_type=Path))
def new_seed(file: Path) -> None:
    """Write a new seed for a simulated link to FILE, mode 0600.

    For demonstrations and tests: both ends need the same one.
    """
    from gateway.sources.simulated.seed import create_seed  # noqa: PLC0415

    with audited("keystore.new-seed", file=file):
        create_seed(file)


def _read_container(file: Path) -> bytes:
    # One byte more than allowed, so that parse_container sees it is too large.
    if str(file) == "-":
        return sys.stdin.buffer.read(MAX_CONTAINER_BYTES + 1)
    try:
        with file.open("rb") as opened:
            if file.stat().st_mode & _OTHERS_READ:
                click.echo(
                    f"warning: {file} is readable by others: who read it has the keys",
                    err=True,
                )
            return opened.read(MAX_CONTAINER_BYTES + 1)
    except OSError as error:
        raise KeyFileError(
            f"cannot read {file}: {(error.strerror or 'an error').lower()}",
            "name the key container, or - for standard input",
        ) from None


def _to_wire(key: NewKey) -> dict[str, str]:
    text = base64.b64encode(key.key.expose()).decode()
    return {"key_ID": key_id_text(key.key_id), "key": text}


def _report(link: str, added: int, refused: Sequence[RefusedKey]) -> None:
    click.echo(f"imported {plural(added, 'key')} into link {clean(link)}")
    if not refused:
        return
    click.echo(f"refused {plural(len(refused), 'key')}:", err=True)
    for item in refused[:MAX_SHOWN]:
        reason = _REASONS.get(item["reason"], item["reason"])
        click.echo(f"  {clean(item['key_id'])} {clean(reason)}", err=True)
    if len(refused) > MAX_SHOWN:
        more = len(refused) - MAX_SHOWN
        click.echo(f"  and {more} more (--json lists all)", err=True)
