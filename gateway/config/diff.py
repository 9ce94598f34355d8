"""Two configurations compared, and the parts that a reload must touch. Pure.

What the operator wrote is compared here, and which named files hold something else is
told (`gateway.acceptance`).
"""

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Final

from gateway.config.checks import ONE_TUNNEL_A_PEER
from gateway.config.model import GatewayConfig, LinkConfig, PlaneName, TunnelConfig

TUNNEL_AT_ONCE: Final = frozenset(
    {
        "addresses",
        "enabled",
        "interface",
        "link",
        "local_subnets",
        "max_epoch_lifetime",
        "mtu",
        "peer_identity",
        "psk_file",
        "qkd",
        "qkd_every",
        "remote_subnets",
        "rotation_interval",
    }
)
"""Keys of a tunnel that take effect while traffic flows under the keys that it has.

`peer_identity` and `psk_file` are names of files: what these hold is compared apart."""

TUNNEL_BY_EPOCH: Final = frozenset({"encap", "endpoint", "local_address"})
"""Keys that its next epoch brings into effect, which is made at once; the present one
carries traffic until the new one is in force."""

TUNNEL_ADOPTED: Final = frozenset({"role"})
"""Keys for which the tunnel is begun anew over the epoch that the kernel has, as when
the daemon restarts."""

TUNNEL_REBUILT: Final = frozenset({"plane"})
"""Keys that make it another tunnel to the kernel: the old is removed, and the fence
holds its prefixes until the new one is in force. Another peer does the same, and
another identity of our own."""

TUNNEL_WITHOUT_DEVICE: Final = frozenset({"interface"})
"""Keys of a tunnel's own interface: WireGuard's are all tunnels' at once."""

TUNNEL_IGNORED: Final = frozenset({"name", "source_file"})
"""A tunnel that moved to another file is still the same tunnel."""

PEER: Final = "peer"
"""File of a tunnel whose content says who the peer is."""

PSK: Final = "psk"
"""File of a tunnel whose content is mixed into the next epoch."""

IDENTITY: Final = ("gateway", "identity")
"""File of the gateway whose content says who it is: all its tunnels are begun anew."""

GATEWAY_IN_PLACE: Final = frozenset(
    {"identity", "listen", "log_level", "relay", "wireguard_ports"}
)
"""Keys of the gateway that a running daemon takes over; the rest needs a restart."""

TOML_KEYS: Final = {
    "keystore": "keystore.path",
    "log_format": "log.format",
    "log_level": "log.level",
    "master_key": "keystore.master_key",
    "relay": "relay",
}
"""How the operator spells a field; the others are keys of ``[gateway]``."""

_TUNNEL_KEYS: Final = {"peer_identity": PEER, "psk_file": PSK}
_COMPARED_APART: Final = frozenset({"files", "links", "tunnels"})

Contents = Collection[tuple[str, ...]]
"""Keys that name files whose content is another one now."""


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """What is different; every tuple is sorted.

    Attributes:
        added: Tunnels that are new.
        removed: Tunnels that are gone.
        rebuilt: Tunnels to take down and set up again.
        adopted: Tunnels to begin anew over what the kernel has.
        renewed: Tunnels to change while their traffic flows, and to rotate then.
        updated: Tunnels to change while their traffic flows.
        unchanged: Tunnels not to touch.
        links_added: Links that are new.
        links_removed: Links that are gone.
        links_changed: Links whose keys come from elsewhere or at another rate.
        keys: By changed tunnel and link the keys that differ, as the operator spells
            them.
        applied: Dotted keys of the gateway that take effect now: ``log.level``.
        restart: Dotted keys of the gateway that take effect with a restart.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    rebuilt: tuple[str, ...]
    adopted: tuple[str, ...]
    renewed: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    links_added: tuple[str, ...]
    links_removed: tuple[str, ...]
    links_changed: tuple[str, ...]
    keys: dict[tuple[str, str], tuple[str, ...]]
    applied: tuple[str, ...]
    restart: tuple[str, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """Tunnels that stay and are different."""
        return (*self.rebuilt, *self.adopted, *self.renewed, *self.updated)


def compare_configs(
    old: GatewayConfig,
    new: GatewayConfig,
    *,
    contents: Contents = (),
    started: GatewayConfig | None = None,
    auto: PlaneName = PlaneName.AUTO,
) -> ConfigDiff:
    """Compare the configuration in force with the one to come.

    Args:
        old: The one in force.
        new: The one to come.
        contents: Keys that name files which hold something else now.
        started: What the daemon started with, which keys that need a restart are
            compared with; None for the one in force.
        auto: The plane that ``auto`` stands for, where that is known.
    """
    kept = sorted(old.tunnels.keys() & new.tunnels.keys())
    fields_of = {
        name: _changed_tunnel(old.tunnels[name], new.tunnels[name], auto)
        for name in kept
    }
    is_another = frozenset({IDENTITY[1]} if IDENTITY in contents else ())
    files_of = {name: _files(contents, "tunnels", name) | is_another for name in kept}
    kinds = {name: _kind(fields_of[name], files_of[name]) for name in kept}
    links = sorted(old.links.keys() & new.links.keys())
    link_keys = {
        name: changed_keys(old.links[name], new.links[name])
        | _files(contents, "links", name)
        for name in links
    }
    now = changed_keys(old, new) & GATEWAY_IN_PLACE
    later = changed_keys(started or old, new) - GATEWAY_IN_PLACE - _COMPARED_APART
    own = {
        ".".join(key)
        for key in contents
        if key[0] not in ("links", "tunnels") and key != IDENTITY
    }

    def of(kind: str) -> tuple[str, ...]:
        return tuple(name for name in kept if kinds[name] == kind)

    keys = {
        ("tunnels", name): _spelled(fields_of[name] | files_of[name]) for name in kept
    } | {("links", name): tuple(sorted(link_keys[name])) for name in links}
    return ConfigDiff(
        added=tuple(sorted(new.tunnels.keys() - old.tunnels.keys())),
        removed=tuple(sorted(old.tunnels.keys() - new.tunnels.keys())),
        rebuilt=of("rebuilt"),
        adopted=of("adopted"),
        renewed=of("renewed"),
        updated=of("updated"),
        unchanged=of("unchanged"),
        links_added=tuple(sorted(new.links.keys() - old.links.keys())),
        links_removed=tuple(sorted(old.links.keys() - new.links.keys())),
        links_changed=tuple(name for name in links if link_keys[name]),
        keys={place: found for place, found in keys.items() if found},
        applied=_as_written(now),
        restart=tuple(sorted({*_as_written(later), *own})),
    )


def in_force(new: GatewayConfig, started: GatewayConfig) -> GatewayConfig:
    """Return what a running daemon can make of a configuration.

    Args:
        new: What the operator wrote.
        started: What the daemon started with: its store and its folders, say, are so
            until it is restarted.
    """
    kept = changed_keys(started, new) - GATEWAY_IN_PLACE - _COMPARED_APART
    return replace(new, **{key: getattr(started, key) for key in kept})


def _kind(changed: frozenset[str], files: frozenset[str]) -> str:
    """Say what becomes of a tunnel: the most that any of its changes takes."""
    if changed & TUNNEL_REBUILT or files & {PEER, IDENTITY[1]}:
        return "rebuilt"
    if changed & TUNNEL_ADOPTED:
        return "adopted"
    if changed & TUNNEL_BY_EPOCH or PSK in files:
        return "renewed"
    return "updated" if changed else "unchanged"


Configured = GatewayConfig | LinkConfig | TunnelConfig


def changed_keys(old: Configured, new: Configured) -> frozenset[str]:
    """Name the fields in which two objects of one kind differ."""
    return frozenset(
        field.name
        for field in fields(old)
        if getattr(old, field.name) != getattr(new, field.name)
    )


def _changed_tunnel(
    old: TunnelConfig, new: TunnelConfig, auto: PlaneName
) -> frozenset[str]:
    """Name the fields that differ; ``auto`` is the plane that it stands for."""
    if old == new:
        return frozenset()
    changed = changed_keys(old, new) - TUNNEL_IGNORED
    planes = {auto if one.plane is PlaneName.AUTO else one.plane for one in (old, new)}
    if len(planes) == 1:
        changed -= {"plane"}
    if planes <= set(ONE_TUNNEL_A_PEER):
        changed -= TUNNEL_WITHOUT_DEVICE
    return changed


def _files(contents: Contents, kind: str, name: str) -> frozenset[str]:
    return frozenset(key[2] for key in contents if key[:2] == (kind, name))


def _spelled(keys: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted({_TUNNEL_KEYS.get(key, key) for key in keys}))


def _as_written(keys: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(TOML_KEYS.get(key, f"gateway.{key}") for key in keys))
