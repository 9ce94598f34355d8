"""The plan that configuration files name, for a boot whose record is old or gone.

Only names and prefixes are read, and files with mistakes elsewhere count: what they
name is refused, so that a mistake opens nothing.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.config.addresses import (
    parse_interface_address,
    parse_network,
)
from gateway.config.files import find_files, read_source
from gateway.config.problems import Problems
from gateway.config.values import (
    NAME,
    BadValueError,
)
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.errors import GatewayError


def plan_named(main: Path) -> tuple[FencePlan, tuple[str, ...]]:
    """Return what the files name, and what of them could not be read, in words.

    Nothing is exempt and no port is ours: both wait for the daemon.

    Args:
        main: The main file; ``tunnels.d`` is looked for in its folder.

    Raises:
        GatewayError: The main file cannot be read, so nothing is known.
    """
    problems = Problems()
    tunnels: list[FencedTunnel] = []
    unread: list[str] = []
    for file in find_files(main, problems):
        source = read_source(file, problems)
        if source is None:
            if file == main:
                raise GatewayError(str(problems.found[-1]))
            continue
        tables = source.data.get("tunnels")
        for name, table in tables.items() if isinstance(tables, dict) else ():
            if not NAME.fullmatch(name) or not isinstance(table, dict):
                unread.append(f"{file}: {name!r} is no tunnel")
                continue
            remote = list(_read(table.get("remote_subnets", []), _network, unread))
            remote += _read(table.get("addresses", []), _shared, unread)
            local = tuple(_read(table.get("local_subnets", []), _network, unread))
            wanted = dict.fromkeys(
                each for each in remote if each and each not in local
            )
            tunnels.append(FencedTunnel(name, tuple(wanted), local))
    unread += [str(problem) for problem in problems.found]
    return FencePlan(tunnels=tuple(tunnels)), tuple(unread)


def beyond(named: FencePlan, record: FencePlan) -> Iterator[tuple[str, str]]:
    """Yield remote prefixes that no record holds, each after its tunnel's name."""
    known = {prefix for tunnel in record.tunnels for prefix in tunnel.remote}
    for tunnel in named.tunnels:
        for prefix in tunnel.remote:
            if prefix not in known:
                yield tunnel.name, prefix


def _read(
    values: object, parse: Callable[[object], str], unread: list[str]
) -> Iterator[str]:
    for value in values if isinstance(values, list) else [values]:
        try:
            yield parse(value)
        except BadValueError as error:
            unread.append(f"{value!r} is not {error.expected}")


def _network(value: object) -> str:
    return str(parse_network(value))


def _shared(value: object) -> str:
    """Return the network inside that both ends share, empty for one host alone."""
    network = parse_interface_address(value).network
    return str(network) if network.num_addresses > 1 else ""
