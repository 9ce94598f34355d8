"""What a reload touches, for every key there is."""

from dataclasses import fields, replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config.diff import (
    GATEWAY_IN_PLACE,
    TUNNEL_ADOPTED,
    TUNNEL_AT_ONCE,
    TUNNEL_BY_EPOCH,
    TUNNEL_IGNORED,
    TUNNEL_REBUILT,
    compare_configs,
    in_force,
)
from gateway.config.load import load_config
from gateway.config.model import (
    GatewayConfig,
    LinkConfig,
    LinkSource,
    LogLevel,
    PlaneName,
    TunnelConfig,
)


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    path = tmp_path / "gateway.toml"
    names = ["paris", "rome"]
    path.write_text(
        '[gateway]\nidentity="i"\n[links.a]\nsource="file"\n'
        + "".join(
            f'[tunnels.{name}]\npeer="p"\nrole="responder"\nlink="a"\n'
            f'remote_subnets=["10.{place}.0.0/16"]\n'
            for place, name in enumerate(names)
        )
    )
    path.chmod(0o600)
    return load_config(path)


def with_tunnel(config: GatewayConfig, **changes: object) -> GatewayConfig:
    paris = replace(config.tunnels["paris"], **changes)  # type: ignore[arg-type] # by name
    return replace(config, tunnels={**config.tunnels, "paris": paris})


def test_nothing_changed(config: GatewayConfig) -> None:
    diff = compare_configs(config, replace(config))
    assert diff.unchanged == ("paris", "rome")
    assert not any(
        getattr(diff, field.name) for field in fields(diff) if field.name != "unchanged"
    )


def test_added_and_removed(config: GatewayConfig) -> None:
    only = replace(config, tunnels={"rome": config.tunnels["rome"]})
    assert compare_configs(config, only).removed == ("paris",)
    assert compare_configs(only, config).added == ("paris",)
    assert compare_configs(only, config).unchanged == ("rome",)


@pytest.mark.parametrize("key", [field.name for field in fields(TunnelConfig)])
def test_each_tunnel_key(config: GatewayConfig, key: str) -> None:
    diff = compare_configs(config, with_tunnel(config, **{key: object()}))
    if key in TUNNEL_IGNORED:
        assert diff.unchanged == ("paris", "rome")
        return
    assert diff.unchanged == ("rome",)
    found = {
        kind: getattr(diff, kind)
        for kind in ("updated", "renewed", "adopted", "rebuilt")
    }
    assert found == {
        "updated": ("paris",) if key in TUNNEL_AT_ONCE else (),
        "renewed": ("paris",) if key in TUNNEL_BY_EPOCH else (),
        "adopted": ("paris",) if key in TUNNEL_ADOPTED else (),
        "rebuilt": ("paris",) if key in TUNNEL_REBUILT else (),
    }


def test_one_key_that_rebuilds_is_enough(config: GatewayConfig) -> None:
    subnets = (ip_network("10.77.0.0/16"),)
    new = with_tunnel(config, remote_subnets=subnets, plane=PlaneName.ESP)
    diff = compare_configs(config, new)
    assert (diff.rebuilt, diff.updated) == (("paris",), ())


def test_auto_and_the_plane_that_it_stands_for_are_one(config: GatewayConfig) -> None:
    new = with_tunnel(config, plane=PlaneName.WIREGUARD)
    assert compare_configs(config, new).rebuilt == ("paris",)
    same = compare_configs(config, new, auto=PlaneName.WIREGUARD)
    assert same.unchanged == ("paris", "rome")
    assert compare_configs(config, new, auto=PlaneName.ESP).rebuilt == ("paris",)


def test_links(config: GatewayConfig) -> None:
    other = LinkConfig("b", LinkSource.FILE)
    new = replace(config, links={"b": other})
    assert compare_configs(config, new).links_added == ("b",)
    assert compare_configs(config, new).links_removed == ("a",)
    fewer = replace(config, links={"a": replace(config.links["a"], low_water=1)})
    assert compare_configs(config, fewer).links_changed == ("a",)


def test_gateway_keys_as_the_operator_writes_them(config: GatewayConfig) -> None:
    new = replace(
        config,
        identity=Path("/x"),
        keystore=Path("/y"),
        log_level=LogLevel.DEBUG,
        files=(),
    )
    diff = compare_configs(config, new)
    assert diff.applied == ("gateway.identity", "log.level")
    assert diff.restart == ("keystore.path",)


def test_what_needs_a_restart_is_as_it_was_until_then(config: GatewayConfig) -> None:
    new = replace(
        with_tunnel(config, mtu=1300),
        wireguard_ports=(1, 2),
        control_group="wheel",
        control_mtu=1300,
        log_level=LogLevel.DEBUG,
    )
    found = in_force(new, config)
    assert (found.control_group, found.control_mtu) == (
        config.control_group,
        config.control_mtu,
    )
    assert (found.log_level, found.tunnels) == (LogLevel.DEBUG, new.tunnels)
    assert found.wireguard_ports == (1, 2)
    assert compare_configs(found, new, started=config).restart == (
        "gateway.control_group",
        "gateway.control_mtu",
    )


def test_the_sets_name_fields_that_exist() -> None:
    tunnel = {field.name for field in fields(TunnelConfig)}
    gateway = {field.name for field in fields(GatewayConfig)}
    tables = (
        *(TUNNEL_AT_ONCE, TUNNEL_BY_EPOCH, TUNNEL_ADOPTED),
        *(TUNNEL_REBUILT, TUNNEL_IGNORED),
    )
    # Every field stands in exactly one of them.
    assert sorted(tunnel) == sorted(name for table in tables for name in table)
    assert gateway >= GATEWAY_IN_PLACE


@pytest.mark.parametrize(
    ("key", "kind"), [("peer", "rebuilt"), ("psk", "renewed"), ("other", "unchanged")]
)
def test_files_that_hold_something_else(
    config: GatewayConfig, key: str, kind: str
) -> None:
    contents = {("tunnels", "paris", key)} if key != "other" else set()
    diff = compare_configs(config, config, contents=contents)
    assert "paris" in getattr(diff, kind)
    assert diff.keys.get(("tunnels", "paris"), (key,)) == (key,)


def test_a_seed_that_changed_changes_its_link(config: GatewayConfig) -> None:
    diff = compare_configs(config, config, contents={("links", "a", "seed_file")})
    assert diff.links_changed == ("a",)
    assert diff.unchanged == ("paris", "rome")


def test_what_needs_a_restart_is_said_until_there_is_one(config: GatewayConfig) -> None:
    new = replace(config, control_mtu=1300)
    again = compare_configs(new, new, started=config)
    assert again.restart == ("gateway.control_mtu",)
    own = compare_configs(config, config, contents={("keystore", "master_key")})
    assert own.restart == ("keystore.master_key",)


def test_another_identity_of_our_own_begins_every_tunnel_anew(
    config: GatewayConfig,
) -> None:
    diff = compare_configs(config, config, contents={("gateway", "identity")})
    assert diff.rebuilt == ("paris", "rome")
    assert diff.keys[("tunnels", "rome")] == ("identity",)
    assert diff.restart == ()


@pytest.mark.parametrize(
    ("plane", "auto", "is_changed"),
    [
        (PlaneName.WIREGUARD_GO, PlaneName.AUTO, False),
        (PlaneName.AUTO, PlaneName.WIREGUARD, False),
        (PlaneName.AUTO, PlaneName.ESP, True),
        (PlaneName.ESP, PlaneName.AUTO, True),
    ],
)
def test_an_interface_of_its_own_is_a_change_where_there_is_one(
    config: GatewayConfig, plane: PlaneName, auto: PlaneName, *, is_changed: bool
) -> None:
    old = with_tunnel(config, plane=plane)
    diff = compare_configs(old, with_tunnel(old, interface="vpn0"), auto=auto)
    assert diff.updated == (("paris",) if is_changed else ())
