"""A network in the configuration: what is read, and every mistake with its line."""

from pathlib import Path

import pytest

from gateway.config import relay_tables
from gateway.config.load import load_config
from gateway.config.model import GatewayConfig
from gateway.errors import ConfigError, ConfigProblem
from gateway.relay import messages

NETWORK = """\
[gateway]
identity = "identity.key"

[links.fibre]
source = "file"

[links.far]
source = "relay"
to = "sin"
via = ["lux"]

[relay]
node = "redu"
links = [["redu", "lux"], ["lux", "sin"]]

[relay.neighbours.lux]
link = "fibre"
tunnel = "near"
endpoint = "192.0.2.2:51813"

[tunnels.near]
peer = "lux.pub"
endpoint = "192.0.2.2"
link = "fibre"
addresses = ["10.9.0.1/30"]

[tunnels.far]
peer = "sin.pub"
endpoint = "192.0.2.3"
link = "far"
addresses = ["10.9.0.5/30"]
"""


def load(text: str, folder: Path) -> GatewayConfig:
    path = folder / "gateway.toml"
    path.touch(mode=0o600)
    path.write_text(text)
    return load_config(path)


def problems(text: str, folder: Path) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        load(text, folder)
    return list(caught.value.problems)


def test_a_network_is_read(tmp_path: Path) -> None:
    config = load(NETWORK, tmp_path)
    relay, route = config.relay, config.links["far"].route
    assert relay is not None
    assert route is not None
    assert (relay.node, relay.forward) == ("redu", False)
    assert [str(one) for one in relay.listen] == ["0.0.0.0:51813", "[::]:51813"]
    assert relay.neighbours["lux"].pads == 1000
    assert (route.to, route.via, route.paths) == ("sin", (("lux",),), 1)
    assert (config.links["far"].batch, config.links["fibre"].batch) == (128, 1)


def test_without_the_table_there_is_none(tmp_path: Path) -> None:
    start, end = NETWORK.index("[links.far]"), NETWORK.index("[tunnels.near]")
    text = NETWORK[:start] + NETWORK[end : NETWORK.index("[tunnels.far]")]
    assert load(text, tmp_path).relay is None


def test_several_chosen_paths(tmp_path: Path) -> None:
    links = '[["redu", "lux"], ["lux", "sin"], ["lux", "bern"], ["bern", "sin"]]'
    text = NETWORK.replace('[["redu", "lux"], ["lux", "sin"]]', links)
    text = text.replace('via = ["lux"]', 'via = [["lux", "bern"]]')
    route = load(text, tmp_path).links["far"].route
    assert route is not None
    assert route.via == (("lux", "bern"),)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "expected"),
    [
        ('to = "sin"', "", 7, "links.far.to", "a node's name"),
        ('to = "sin"', 'to = "paris"', 9, "links.far.to", "another node"),
        ('to = "sin"', 'to = "redu"', 9, "links.far.to", "another node"),
        ('via = ["lux"]', 'via = ["lux", "lux"]', 10, "links.far.via[1]", "once"),
        ('via = ["lux"]', 'via = ["sin"]', 10, "links.far.via", "no node twice"),
        ('via = ["lux"]', "via = [[]]", 10, "links.far.via", "with a link from"),
        ('via = ["lux"]', "via = 3", 10, "links.far.via", "a list"),
        ('via = ["lux"]', "paths = 9", 10, "links.far.paths", "1 to 8"),
        ('via = ["lux"]', 'via = ["lux"]\npaths = 2', 11, "links.far.paths", "as many"),
        (
            'source = "file"',
            'source = "file"\nto = "sin"',
            6,
            "links.fibre.to",
            "unless",
        ),
        ('via = ["lux"]', "batch = 129", 10, "links.far.batch", "1 to 128"),
        ('node = "redu"', 'node = "a>b"', 13, "relay.node", "a node's name"),
        ('node = "redu"', "", 12, "relay.node", "a value"),
        ('["lux", "sin"]]', '["lux", "lux"]]', 14, "relay.links[1]", "two nodes"),
        ('["lux", "sin"]]', '["lux", "redu"]]', 14, "relay.links[1]", "each pair once"),
        ('["lux", "sin"]]', '["lux"]]', 14, "relay.links[1]", "pairs"),
        ('["lux", "sin"]]', '["redu", "sin"]]', 14, "relay.links", "neighbours.sin"),
        (
            'link = "fibre"\nt',
            'link = "far"\nt',
            17,
            "relay.neighbours.lux.link",
            "not relayed",
        ),
        (
            'tunnel = "near"',
            'tunnel = "x"',
            18,
            "relay.neighbours.lux.tunnel",
            "a configured",
        ),
        (":51813", "", 19, "relay.neighbours.lux.endpoint", "ADDRESS:PORT"),
        ("neighbours.lux", "neighbours.bern", 14, "relay.links", '["redu", "bern"]'),
        ("[relay.n", "colour = 1\n[relay.n", 16, "relay.colour", "a known key"),
    ],
)
def test_every_mistake_has_its_line(
    old: str, new: str, line: int, key: str, expected: str, tmp_path: Path
) -> None:
    text = NETWORK.replace(old, new, 1)
    assert text != NETWORK
    found = problems(text, tmp_path)
    told = [f"{one.line} {one.key}: {one.expected}" for one in found]
    assert any(
        one.line == line and one.key == key and expected in one.expected
        for one in found
    ), told


def test_relayed_keys_need_a_network(tmp_path: Path) -> None:
    start, end = NETWORK.index("[relay]"), NETWORK.index("[tunnels.near]")
    (problem,) = problems(NETWORK[:start] + NETWORK[end:], tmp_path)
    assert (problem.line, problem.key) == (8, "links.far.source")


def test_two_links_to_one_node_are_refused(tmp_path: Path) -> None:
    text = NETWORK + '[links.again]\nsource = "relay"\nto = "sin"\n'
    (problem,) = problems(text, tmp_path)
    assert problem.key == "links.again.to"
    assert "far leads there" in problem.found


def test_bounds_are_those_of_the_messages() -> None:
    """The configuration cannot import the relay, which is above it."""
    assert relay_tables.MAX_PATHS == messages.MAX_PATHS
    assert relay_tables.MAX_BETWEEN == messages.MAX_NODES - 2
    assert relay_tables.MAX_BATCH == messages.MAX_BATCH
