"""What a reload has to touch: two configurations compared. Pure.

Only what the operator wrote is compared. A file that keeps its name and changes its
contents, such as a PSK, is read anew at the next handshake and is no difference here.
"""

from dataclasses import dataclass, fields
from typing import Final

from gateway.config.model import GatewayConfig, LinkConfig, TunnelConfig

TUNNEL_IN_PLACE: Final = frozenset(
    {
        "enabled",
        "endpoint",
        "link",
        "max_epoch_lifetime",
        "psk_file",
        "qkd",
        "qkd_every",
        "rotation_interval",
    }
)
"""Keys of a tunnel that take effect at once or with its next epoch, while traffic
flows. All others shape the interface, the SAs or who the peer is: rebuilt."""

TUNNEL_IGNORED: Final = frozenset({"source_file"})
"""A tunnel that moved to another file is still the same tunnel."""

GATEWAY_IN_PLACE: Final = frozenset({"log_level", "relay"})
"""Keys of the gateway that a running daemon takes over; the rest needs a restart."""

TOML_KEYS: Final = {
    "keystore": "keystore.path",
    "master_key": "keystore.master_key",
    "log_format": "log.format",
    "log_level": "log.level",
    "relay": "relay",
}
"""How the operator spells a field; the others are keys of ``[gateway]``."""

_COMPARED_APART: Final = frozenset({"links", "tunnels", "files"})


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """What is different; every tuple is sorted.

    Attributes:
        added: Tunnels that are new.
        removed: Tunnels that are gone.
        rebuilt: Tunnels to take down and set up again.
        updated: Tunnels to change while their traffic flows.
        unchanged: Tunnels not to touch.
        links_added: Links that are new.
        links_removed: Links that are gone.
        links_changed: Links whose keys come from elsewhere or at another rate.
        applied: Dotted keys of the gateway that take effect now: ``log.level``.
        restart: Dotted keys of the gateway that take effect with a restart.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    rebuilt: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    links_added: tuple[str, ...]
    links_removed: tuple[str, ...]
    links_changed: tuple[str, ...]
    applied: tuple[str, ...]
    restart: tuple[str, ...]


def compare_configs(old: GatewayConfig, new: GatewayConfig) -> ConfigDiff:
    """Compare the configuration in force with the one to come."""
    kept = sorted(old.tunnels.keys() & new.tunnels.keys())
    changed = {
        name: changed_keys(old.tunnels[name], new.tunnels[name]) - TUNNEL_IGNORED
        for name in kept
    }
    kept_links = sorted(old.links.keys() & new.links.keys())
    gateway = changed_keys(old, new) - _COMPARED_APART
    return ConfigDiff(
        added=tuple(sorted(new.tunnels.keys() - old.tunnels.keys())),
        removed=tuple(sorted(old.tunnels.keys() - new.tunnels.keys())),
        rebuilt=tuple(n for n in kept if changed[n] - TUNNEL_IN_PLACE),
        updated=tuple(n for n in kept if changed[n] and changed[n] <= TUNNEL_IN_PLACE),
        unchanged=tuple(n for n in kept if not changed[n]),
        links_added=tuple(sorted(new.links.keys() - old.links.keys())),
        links_removed=tuple(sorted(old.links.keys() - new.links.keys())),
        links_changed=tuple(n for n in kept_links if old.links[n] != new.links[n]),
        applied=_as_written(gateway & GATEWAY_IN_PLACE),
        restart=_as_written(gateway - GATEWAY_IN_PLACE),
    )


Configured = GatewayConfig | LinkConfig | TunnelConfig


def changed_keys(old: Configured, new: Configured) -> frozenset[str]:
    """Name the fields in which two objects of one kind differ."""
    return frozenset(
        field.name
        for field in fields(old)
        if getattr(old, field.name) != getattr(new, field.name)
    )


def _as_written(keys: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(TOML_KEYS.get(key, f"gateway.{key}") for key in keys))
