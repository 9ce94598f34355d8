"""A configuration that names what is this host's own, or does nothing here."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.acceptance.accept import Candidate
from gateway.acceptance.findings import Notes
from gateway.acceptance.own_addresses import (
    OwnAddresses,
    check_interfaces,
    check_own_addresses,
    read_own,
)
from gateway.config.load import load_config
from gateway.config.model import PlaneName
from gateway.dataplane.choose import PlaneOption

TOML = """
[gateway]
identity = "own.key"
[tunnels.paris]
peer = "paris.pub"
qkd = "off"
{keys}
"""

RIGHT = {
    "endpoint": '"192.0.2.1"',
    "remote_subnets": '["10.2.0.0/16"]',
    "addresses": '["10.9.0.1/30"]',
}
OWN = OwnAddresses(
    holders={
        ip_address("198.51.100.7"): "wan0",
        ip_address("10.1.0.1"): "lan0",
        ip_address("10.9.0.5"): "vpn0",
        ip_address("127.0.0.1"): "lo",
    },
    broadcasts={ip_address("198.51.100.255"): "wan0"},
    interfaces=frozenset({"wan0", "lan0", "lo"}),
)
GO = {PlaneName.AUTO: PlaneOption("wireguard-go")}
ESP = {PlaneName.AUTO: PlaneOption("esp")}


def noted(folder: Path, **keys: str) -> Notes:
    path = folder / "gateway.toml"
    lines = "\n".join(f"{key} = {value}" for key, value in {**RIGHT, **keys}.items())
    path.write_text(TOML.format(keys=lines))
    return Notes(load_config(path))


@pytest.mark.parametrize(
    ("keys", "key", "found"),
    [
        ({"endpoint": '"198.51.100.7"'}, "endpoint", "this host's own, on wan0"),
        ({"endpoint": '"127.0.0.1"'}, "endpoint", "this host's own, on lo"),
        ({"endpoint": '"198.51.100.255"'}, "endpoint", "a network on wan0"),
        ({"local_address": '"127.0.0.1"'}, "local_address", "no other host reaches"),
        ({"remote_subnets": '["10.1.0.1/32"]'}, "remote_subnets", "own, on lan0"),
    ],
)
def test_what_is_this_hosts_own_is_warned_of(
    tmp_path: Path, keys: dict[str, str], key: str, found: str
) -> None:
    notes = noted(tmp_path, **keys)
    check_own_addresses(notes, OWN)
    (warning,) = notes.warnings
    assert warning.key == f"tunnels.paris.{key}"
    assert found in warning.found
    assert notes.findings == []


def test_an_address_of_another_interface_is_refused(tmp_path: Path) -> None:
    notes = noted(tmp_path, addresses='["10.1.0.1/30"]')
    check_own_addresses(notes, OWN)
    (finding,) = notes.findings
    assert (finding.tunnel, finding.problem.key) == (
        "paris",
        "tunnels.paris.addresses",
    )
    assert finding.problem.found == "10.1.0.1, which is on lan0"


def test_what_may_be_the_gateways_is_left_to_the_plane(tmp_path: Path) -> None:
    notes = noted(tmp_path, addresses='["10.9.0.5/30"]', interface='"vpn0"')
    check_own_addresses(notes, OWN)
    check_interfaces(notes, ESP, OWN)
    assert (notes.findings, notes.warnings) == ([], [])


def test_a_name_that_another_interface_has_is_refused(tmp_path: Path) -> None:
    notes = noted(tmp_path, interface='"wan0"')
    check_interfaces(notes, ESP, OWN)
    (finding,) = notes.findings
    assert finding.problem.found == "wan0, which is there and not the gateway's"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"interface": '"vpn0"'}, "vpn0, which changes nothing"),
        ({"encap": "true"}, "auto, which is wireguard-go on this host"),
    ],
)
def test_keys_without_effect_on_wireguard_are_told(
    tmp_path: Path, keys: dict[str, str], found: str
) -> None:
    notes = noted(tmp_path, **keys)
    check_interfaces(notes, GO, OWN)
    assert notes.findings == []
    (warning,) = notes.warnings
    assert found in warning.found
    plain = noted(tmp_path)
    check_interfaces(plain, GO, OWN)
    check_own_addresses(plain, OWN)
    assert (plain.findings, plain.warnings) == ([], [])


def test_a_reload_says_what_is_new_of_single_keys(tmp_path: Path) -> None:
    notes = noted(tmp_path, interface='"vpn0"', encap="true")
    check_interfaces(notes, GO, OWN)
    notes.warn(("tunnels",), "a host that lets packets pass", "ip_forward = 0")
    candidate = Candidate(notes.config, None, {}, {}).with_notes(notes)
    first, second, _ = candidate.warnings
    assert list(candidate.news(())) == [first, second]
    assert list(candidate.news([first])) == [second]
    assert list(candidate.news(candidate.warnings)) == []


def test_this_hosts_own_are_read() -> None:
    own = read_own()
    assert own.holders[ip_address("127.0.0.1")] == "lo"
    assert own.broadcasts[ip_address("127.255.255.255")] == "lo"
    assert "lo" in own.interfaces
