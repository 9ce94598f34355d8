"""The example configurations load, and the two of two-site fit each other."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import GatewayConfig, PlaneName, QKDPolicy, Role

CONFIGS = Path(__file__).parents[3] / "configs"


def load_example(name: str, tmp_path: Path) -> GatewayConfig:
    """Load a copy without the permissions that a clone's umask gave it."""
    copy = tmp_path / "configs"
    shutil.copytree(CONFIGS, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return load_config(copy / name)


def test_branch(tmp_path: Path) -> None:
    config = load_example("branch.toml", tmp_path)
    tunnel = config.tunnels["branch-hq"]
    assert tunnel.role is Role.INITIATOR
    assert tunnel.encap
    assert tunnel.plane is PlaneName.ESP
    assert tunnel.peer_identity == tmp_path / "configs/peers/hq.pub"


def test_hub(tmp_path: Path) -> None:
    config = load_example("hub/gateway.toml", tmp_path)
    assert list(config.tunnels) == ["annex", "harbour", "overseas"]
    assert config.tunnels["overseas"].qkd is QKDPolicy.PREFERRED
    assert set(config.links) == {"annex-fibre", "harbour-fibre", "satellite"}
    kme = config.links["annex-fibre"].kme
    assert kme is not None
    assert kme.urls == ("https://kme-1.example.org", "https://kme-2.example.org")
    assert kme.private_key == tmp_path / "configs/hub/kme/hub.key"


def test_two_sites_mirror_each_other(tmp_path: Path) -> None:
    a = load_example("two-site/a/gateway.toml", tmp_path / "a")
    b = load_example("two-site/b/gateway.toml", tmp_path / "b")
    ours, theirs = a.tunnels["a-b"], b.tunnels["a-b"]
    assert ours.remote_subnets == theirs.local_subnets
    assert theirs.remote_subnets == ours.local_subnets
    assert ours.addresses[0].network == theirs.addresses[0].network
    assert ours.addresses[0].ip != theirs.addresses[0].ip
    same = ("plane", "qkd", "link", "rotation_interval", "max_epoch_lifetime", "encap")
    assert [getattr(ours, key) for key in same] == [
        getattr(theirs, key) for key in same
    ]
    assert a.links["lab"].rate == b.links["lab"].rate


@pytest.mark.parametrize(
    ("folder", "sites", "paths"),
    [("int-uqkd", ("redu", "luxembourg", "singapore"), 1), ("ring", tuple("abcd"), 2)],
)
def test_networks_fit_together(
    folder: str, sites: tuple[str, ...], paths: int, tmp_path: Path
) -> None:
    loaded = [load_example(f"{folder}/{site}.toml", tmp_path / site) for site in sites]
    relays = {config.relay.node: config.relay for config in loaded if config.relay}
    assert len(relays) == len(sites)
    assert len({relay.links for relay in relays.values()}) == 1
    for node, relay in relays.items():
        for name, neighbour in relay.neighbours.items():
            other = relays[name]
            assert neighbour.endpoint in other.listen
            back = other.neighbours[node]
            assert (back.link, back.tunnel) == (neighbour.link, neighbour.tunnel)
    routes = [
        (config.relay.node, link.route)
        for config in loaded
        for link in config.links.values()
        if link.route and config.relay
    ]
    assert len(routes) == 2
    assert {route.to for _, route in routes} == {node for node, _ in routes}
    assert {route.paths for _, route in routes} == {paths}
    between = {
        name for relay in relays.values() if relay.forward for name in [relay.node]
    }
    assert between == set(relays) - {node for node, _ in routes}


def test_commented_defaults_of_the_branch_are_the_defaults(tmp_path: Path) -> None:
    """Loading with every default written out gives the same as leaving them out."""
    text = (CONFIGS / "branch.toml").read_text()
    example = tmp_path / "gateway.toml"
    example.write_text(text)
    example.chmod(0o600)
    left_out = load_config(example)
    no_default = "master_key|key_lifetime|local_address|psk|mtu|interface"
    written_out = re.sub(rf"(?m)^# (?!(?:{no_default}) =)([a-z_]+ = )", r"\1", text)
    assert tomllib.loads(written_out)["gateway"]["control_mtu"] == 1232
    example.write_text(written_out)
    assert load_config(example) == left_out


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.toml")), ids=lambda p: p.stem)
def test_examples_name_no_real_address(path: Path) -> None:
    """Only documentation (RFC 5737, 2606) and private (RFC 1918, 4193) addresses."""
    text = path.read_text()
    allowed = r"10\.|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|0\.0\.0\.0"
    for address in re.findall(r"\d+\.\d+\.\d+\.\d+", text):
        assert re.match(allowed, address), address
    for name in re.findall(r"[a-z.-]+\.(?:org|com|net|eu)\b", text):
        assert name.endswith("example.org")
