"""The program `qgwd`."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click

from gateway import __version__
from gateway.config.load import DEFAULT_PATH, load_config
from gateway.config.model import GatewayConfig, LogFormat
from gateway.daemon.logging import configure_logging
from gateway.daemon.memory import protect_memory
from gateway.daemon.service import Service
from gateway.errors import ConfigError, GatewayError

logger = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: systemd's RestartPreventExitStatus knows it, for a restart
cannot mend what the operator wrote."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qgwd", message="%(prog)s %(version)s")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The main configuration file; tunnels.d beside it is read too.",
)
@click.option("--console", is_flag=True, help="Log to the console, whatever is set.")
def command(config_path: Path, *, console: bool) -> None:
    """Keep quantum-safe tunnels up. Runs in the foreground, under systemd."""
    try:
        config = load_config(config_path)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"qgwd: {problem}", err=True)
        click.echo(f"hint: {error.hint}", err=True)
        sys.exit(EXIT_CONFIG)
    log_format = LogFormat.CONSOLE if console else config.log_format
    configure_logging(log_format, config.log_level)
    os.umask(0o077)
    protect_memory()
    try:
        asyncio.run(_serve(config, config_path, log_format))
    except GatewayError as error:
        logger.critical("%s", error.message, extra={"event": "cannot-start"})
        click.echo(f"qgwd: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        sys.exit(EXIT_FAILED)


async def _serve(
    config: GatewayConfig, config_path: Path, log_format: LogFormat
) -> None:
    service = Service(config, config_path, os.environ, log_format=log_format)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.request_stop)
    reloads: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = loop.create_task(_reload(service))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        await service.start()
        await service.run()
    finally:
        await service.stop()


async def _reload(service: Service) -> None:
    try:
        await service.reload()
    except ConfigError as error:
        for problem in error.problems:
            _log_refused(str(problem))
    except GatewayError as error:
        _log_refused(error.message)


def _log_refused(reason: str) -> None:
    logger.error("not reloaded: %s", reason, extra={"event": "reload-failed"})


def main() -> None:
    """Run `qgwd`."""
    command()
