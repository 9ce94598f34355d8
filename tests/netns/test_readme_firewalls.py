"""The README's firewall rules: the kernel takes nft's, and all name our ports."""

import re
import subprocess

from lab.netns import Namespace

from gateway.config.model import DEFAULT_PORT
from gateway.config.tables import DEFAULT_WIREGUARD_PORTS
from tests.systemd.readme import README


def section() -> str:
    text = README.read_text()
    start = text.index("## Firewalls")
    return text[start : text.index("\n## ", start)]


def commands(program: str) -> list[str]:
    return re.findall(rf"^    ({program} .*)$", section(), re.MULTILINE)


def test_nft_takes_the_rules(pair: tuple[Namespace, Namespace]) -> None:
    (rules,) = re.findall(r"^    table inet .*?^    \}$", section(), re.M | re.S)
    subprocess.run(  # noqa: S603  # the README's own rules, in a namespace of ours
        ["ip", "netns", "exec", pair[0].name, "nft", "-f", "-"],  # noqa: S607
        input=rules,
        text=True,
        check=True,
    )
    loaded = pair[0].run("nft", "list", "ruleset")
    ports = ", ".join(map(str, (DEFAULT_PORT, *DEFAULT_WIREGUARD_PORTS)))
    assert f"udp dport {{ {ports} }} accept" in loaded
    assert "meta l4proto esp accept" in loaded
    assert loaded.count("policy drop") == 2


def test_the_other_firewalls_open_the_same() -> None:
    ports = (DEFAULT_PORT, *DEFAULT_WIREGUARD_PORTS)
    span = (min(ports), max(ports))
    for program, separator in (("firewall-cmd", "-"), ("ufw", ":")):
        found = commands(program)
        assert any(f"{span[0]}{separator}{span[1]}" in line for line in found)
        assert any("esp" in line for line in found)
        assert any("10.2.0.0/16" in line for line in found)
