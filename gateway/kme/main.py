"""The program `qgw-kme`: a KME for laboratories, and what steers it."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from gateway import __version__
from gateway.errors import ConfigError, GatewayError, KMEError
from gateway.events.bus import Event, subscribe
from gateway.events.host import NotifyFailed
from gateway.host.bounded_log import BoundedLines
from gateway.host.logging import log_ends
from gateway.host.notify import Notifier
from gateway.kme.control import ControlSocket, run_call
from gateway.kme.laboratory import DEFAULT_PORT, Site, make_laboratory
from gateway.kme.load import DEFAULT_PATH, load_settings
from gateway.kme.misbehaviour.answers import DEFAULT_DELAY
from gateway.kme.misbehaviour.modes import MODES
from gateway.kme.models import make_model
from gateway.kme.render import clean, show_status
from gateway.kme.seed import load_seed
from gateway.kme.server import KMEServer
from gateway.kme.settings import End, KMESettings
from gateway.kme.tls import server_context
from gateway.units import plural

PROGRAM = "qgw-kme"

EXIT_FAILED = 1
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: a restart cannot mend what the operator wrote."""

LINES_INTERVAL: Final = 5.0
"""Seconds between looks for lines that came again and again, and come no more."""

logger = logging.getLogger("gateway.kme.main")  # not __main__

_config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The KME's configuration file.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def root() -> None:
    """Serve keys of a simulated QKD link as a KME would (ETSI GS QKD 014).

    For laboratories, demonstrations and tests: these are NOT quantum keys.
    """


@root.command()
@_config_option
def run(path: Path) -> None:
    """Serve, in the foreground; SIGHUP reads certificates and SAEs again."""
    settings = load_settings(path)
    _log_to_stderr(settings.log_level)
    os.umask(0o077)
    asyncio.run(_serve(settings, path))


@root.command()
@_config_option
def check(path: Path) -> None:
    """Check the configuration, and that whoever runs this can read its files."""
    settings = load_settings(path)
    server_context(settings.certificate, settings.private_key, settings.ca)
    load_seed(settings.link.seed_file)
    if settings.link.end is End.ALICE:
        # What only shows when the model is made: an orbit's elements, their age.
        make_model(settings.link)
    click.echo(f"{path}: {plural(len(settings.saes), 'SAE')}: no problems")


@root.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--alice-host", default="localhost", show_default=True)
@click.option("--bob-host", default="localhost", show_default=True)
@click.option("--alice-port", type=int, default=DEFAULT_PORT, show_default=True)
@click.option("--bob-port", type=int, default=DEFAULT_PORT + 1, show_default=True)
@click.option("--alice-sae", default="gw-a", show_default=True, help="SAE ID there.")
@click.option("--bob-sae", default="gw-b", show_default=True, help="SAE ID there.")
@click.option("--rate", type=float, help="Secret bits a second, instead of physics.")
@click.option("--local", is_flag=True, help="Keep pools and sockets in FOLDER as well.")
def init(
    folder: Path,
    alice_host: str,
    bob_host: str,
    alice_port: int,
    bob_port: int,
    alice_sae: str,
    bob_sae: str,
    rate: float | None,
    *,
    local: bool,
) -> None:
    """Make certificates, seed and configurations of two KMEs in FOLDER.

    For a laboratory: the CA's private key lies in FOLDER/ca.
    """
    lines = ['model = "fibre"']
    if rate is not None:
        lines = ['model = "constant"', f"rate = {rate}"]
    files = make_laboratory(
        folder,
        Site("kme-alice", alice_host, alice_port, [alice_sae]),
        Site("kme-bob", bob_host, bob_port, [bob_sae]),
        link_lines=lines,
        local=local,
    )
    for end in End:
        click.echo(f"start:  {PROGRAM} run --config {files[end].config}")
        for sae_id, issued in files[end].saes.items():
            click.echo(f"{sae_id}:  {files[end].url} with {issued.certificate.parent}")


@root.command()
@_config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(path: Path, *, as_json: bool) -> None:
    """Show pool, link and peer of the KME that runs here."""
    answer = run_call(load_settings(path).control_socket, "GET", "status")
    click.echo(json.dumps(answer, indent=2) if as_json else show_status(answer))


@root.command()
@_config_option
@click.argument("action", type=click.Choice(["down", "up", "eavesdrop", "overcast"]))
@click.argument("argument", metavar="[on|off|STATION]", required=False)
@click.option("--days", type=float, help="Simulated days overcast; 0 clears up.")
def link(path: Path, action: str, argument: str | None, days: float | None) -> None:
    r"""Cut or mend the simulated link, listen to it, or cloud a station.

    \b
    qgw-kme link down
    qgw-kme link up
    qgw-kme link eavesdrop on|off
    qgw-kme link overcast STATION --days N
    """
    order: dict[str, object]
    match action, argument, days:
        case "down" | "up", None, None:
            order = {"action": action}
        case "eavesdrop", "on" | "off", None:
            order = {"action": f"{action}-{argument}"}
        case "overcast", str(), float():
            order = {"action": action, "station": argument, "days": days}
        case _:
            raise click.UsageError(
                "say: link down, link up, link eavesdrop on|off, or link overcast "
                "STATION --days N"
            )
    click.echo(
        show_status(run_call(load_settings(path).control_socket, "POST", "link", order))
    )


@root.command()
@_config_option
@click.argument("mode", required=False)
@click.option("--count", type=click.IntRange(min=1), help="Calls. [default: no end]")
@click.option(
    "--delay", type=float, default=DEFAULT_DELAY, show_default=True, help="Seconds."
)
@click.option("--list", "as_list", is_flag=True, help="List the modes.")
def misbehave(
    path: Path, mode: str | None, count: int | None, delay: float, *, as_list: bool
) -> None:
    """Make the KME fail or deviate on purpose: MODE, or off (simulation)."""
    if as_list:
        for each in MODES.values():
            calls = ", ".join(sorted(each.calls))
            click.echo(f"{each.name:18} {each.explanation} ({calls})")
        return
    if mode is None:
        raise click.UsageError("which mode? See --list")
    order = {"mode": mode, "count": count, "delay": delay}
    socket = load_settings(path).control_socket
    click.echo(show_status(run_call(socket, "POST", "misbehave", order)))


async def _serve(settings: KMESettings, path: Path) -> None:
    server = KMEServer(settings)
    control = ControlSocket(settings.control_socket, server)
    subscribe(_note)
    notifier = Notifier(os.environ)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    reloading = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, reloading.set)
    tasks: list[asyncio.Task[None]] = []
    try:
        await server.start()
        await control.start()
        notifier.ready(f"simulated KME at {server.url}")
        tasks = [
            asyncio.create_task(_reload(server, notifier, reloading, path)),
            asyncio.create_task(_feed_watchdog(notifier)),
            asyncio.create_task(_end_lines()),
        ]
        waits = [asyncio.create_task(each.wait()) for each in (stopping, server.failed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        notifier.stopping()
    finally:
        for task in tasks:
            task.cancel()
        await control.stop()
        await server.stop()
    if server.failed.is_set():
        raise KMEError("stopped by a fault of its own", "the log says where")


async def _reload(
    server: KMEServer, notifier: Notifier, reloading: asyncio.Event, path: Path
) -> None:
    while True:
        await reloading.wait()
        reloading.clear()
        notifier.reloading()
        try:
            differing = await server.reload(load_settings(path))
        except ConfigError as error:
            for problem in error.problems:
                logger.error("not reloaded: %s", problem)  # noqa: TRY400
        except KMEError as error:
            logger.error("not reloaded: %s", error.message)  # noqa: TRY400
        else:
            logger.info("certificates and SAEs read again")
            if differing:
                logger.warning("only a restart applies: %s", ", ".join(differing))
        notifier.ready()


async def _feed_watchdog(notifier: Notifier) -> None:
    interval = notifier.watchdog_interval
    while interval is not None:
        notifier.watchdog()
        await asyncio.sleep(interval)


async def _end_lines() -> None:
    while True:
        await asyncio.sleep(LINES_INTERVAL)
        log_ends()


def _log_to_stderr(level: str) -> None:
    """Log lines as systemd takes them from stderr, or a person reads them."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(BoundedLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("gateway").setLevel(level.upper())


def _note(event: Event) -> None:
    """Log what the parts that are the gateway's too tell of."""
    if isinstance(event, NotifyFailed):
        logger.warning("cannot notify systemd (%s): %s", event.state, event.why)


class _OneLine(logging.Formatter):
    """Lets no line break out of its place."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return clean(super().format(record).replace("\n", " | "))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `qgw-kme`.

    Args:
        arguments: Those after the program's name; by default the process's own.
    """
    try:
        root.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(EXIT_FAILED)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(clean(f"{PROGRAM}: {problem}"), err=True)
        click.echo(f"hint: {error.hint}", err=True)
        sys.exit(EXIT_CONFIG)
    except GatewayError as error:
        click.echo(clean(f"{PROGRAM}: {error.message}"), err=True)
        if error.hint:
            click.echo(clean(f"hint: {error.hint}"), err=True)
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
