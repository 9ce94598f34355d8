"""``qgw network``: the network of trusted nodes, as this gateway sees it."""

import click

from gateway.cli.session import (
    CommandSession,
    expect,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import clean, listing, table
from gateway.control.network_schema import (
    NetworkLink,
    NetworkNode,
    NetworkResult,
    NetworkRoute,
)
from gateway.control.schema import Method
from gateway.units import duration


@click.command()
@json_option
@pass_session
def network(session: CommandSession, *, as_json: bool) -> None:
    """Show nodes, links, stocks of pads, and routes of relayed keys."""
    result = expect(session.call(Method.NETWORK), NetworkResult)
    if as_json:
        print_json(result)
    else:
        click.echo(render(result))


def render(result: NetworkResult) -> str:
    """Return what a person reads."""
    if not result["node"]:
        return "no network: the configuration has no table [relay]"
    refused = (f"{why} {count}" for why, count in sorted(result["refused"].items()))
    head = listing(
        "node",
        result["node"],
        [
            ("listening", ", ".join(result["listen"])),
            ("relays for others", "yes" if result["forward"] else "no"),
            ("refused", ", ".join(refused)),
            ("trouble", result["trouble"]),
        ],
    )
    parts = [head, _nodes(result), _links(result["links"])]
    if result["routes"]:
        parts.append(_routes(result["routes"]))
    return "\n\n".join(parts)


def _nodes(result: NetworkResult) -> str:
    rows = [
        (one["node"], _heard(one), _standing(one))
        for one in result["nodes"]
        if one["node"] != result["node"]
    ]
    return table(("NODE", "HEARD", "STANDING"), rows)


def _heard(node: NetworkNode) -> str:
    ago = node["heard_ago_s"]
    return "never or long ago" if ago is None else f"{duration(ago)} ago"


def _standing(node: NetworkNode) -> str:
    words = []
    if node["neighbour"]:
        words.append("neighbour")
        words.append("connected" if node["connected"] else "not connected")
    if node["avoided"]:
        words.append("avoided: it failed a moment ago")
    return ", ".join(words) or "-"


def _links(links: list[NetworkLink]) -> str:
    rows = [
        (" - ".join(one["nodes"]), _pads(one["pads"]), _pads(one["pads_back"]))
        for one in links
    ]
    return table(("LINK", "PADS", "PADS BACK"), rows)


def _pads(count: int | None) -> str:
    return "not told" if count is None else str(count)


def _routes(routes: list[NetworkRoute]) -> str:
    rows = []
    for one in routes:
        paths = one["paths"] or [[]]
        for number, path in enumerate(paths):
            way = " > ".join(path) or "none"
            if number:
                rows.append(("", "", "", "", way))
            else:
                counts = str(one["available"]), str(one["drawn"])
                rows.append((one["link"], one["to"], *counts, way))
    lines = [table(("RELAYED", "TO", "AVAILABLE", "DRAWN", "PATH"), rows)]
    errors = [f"{one['link']}: {one['error']}" for one in routes if one["error"]]
    return "\n".join([*lines, *([""] if errors else []), *map(clean, errors)])
