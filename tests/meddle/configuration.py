"""The configuration of one gateway, as tables that a test changes and writes."""

import copy
from collections.abc import Mapping

from lab.gateway import LINK, PORT, TUNNEL, Gateway
from lab.two_sites import INSIDE, INSIDE6, NET, NET6, other

Value = str | float | bool | list[str] | list[int]
Tables = dict[str, dict[str, Value]]

NAMED_FILES = ("identity", "peer.pub", "seed")
"""Files in a gateway's folder that its configuration names."""


class Configuration:
    """One end's file.

    Attributes:
        tables: By their names, ``tunnels.demo``; what is written next.
    """

    def __init__(
        self, end: Gateway, peer: Gateway, settings: Mapping[str, Value]
    ) -> None:
        """Describe the end as it is when nobody meddles; nothing is written yet."""
        letter = end.letter
        far = other(letter)
        host = peer.namespace.address
        self._end = end
        self.tables: Tables = {
            "gateway": {
                "identity": "identity",
                "listen": [f"0.0.0.0:{PORT}", f"[::]:{PORT}"],
                "state_dir": "state",
                "control_socket": "control.sock",
                "control_group": "root",
                "kem_provider": "openssl",  # loads fastest
            },
            "keystore": {"path": "state/keys.db", "master_key": "master-key"},
            "log": {"level": "info", "format": "console"},
            f"links.{LINK}": {
                "source": "simulated",
                "rate": 50.0,
                "seed_file": "seed",
                "capacity": 500,
            },
            f"tunnels.{TUNNEL}": {
                "peer": "peer.pub",
                "endpoint": f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}",
                "role": "initiator" if letter == "a" else "responder",
                "qkd": "required",
                "link": LINK,
                "addresses": [f"{INSIDE[letter]}/30", f"{INSIDE6[letter]}/126"],
                "local_subnets": [NET[letter], NET6[letter]],
                "remote_subnets": [NET[far], NET6[far]],
                **settings,
            },
        }
        self._named = {name: (end.folder / name).read_bytes() for name in NAMED_FILES}
        self._usual = copy.deepcopy(self.tables)

    @property
    def tunnel(self) -> dict[str, Value]:
        """The tunnel's table."""
        return self.tables[f"tunnels.{TUNNEL}"]

    @property
    def text(self) -> str:
        """The file."""
        lines = []
        for name, table in self.tables.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
            lines.append("")
        return "\n".join(lines)

    def write(self) -> None:
        """Write the file as it is described now."""
        self.write_text(self.text)

    def write_text(self, text: str) -> None:
        """Write something else instead."""
        path = self._end.folder / "gateway.toml"
        path.write_text(text)
        path.chmod(0o600)

    def restore_files(self) -> None:
        """Write the files that it names as they were at the start."""
        for name, content in self._named.items():
            path = self._end.folder / name
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(content)

    def reset(self) -> None:
        """Describe and write it as it was at the start."""
        self.tables = copy.deepcopy(self._usual)
        self.write()


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
