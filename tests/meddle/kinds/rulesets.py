"""Rulesets of nftables that others load, change and flush."""

import json

from lab.inside import made_inside
from lab.two_sites import LAN, WAN
from pyroute2 import NFCTSocket

from tests.meddle.kind import FLOWS, Phase, Spot, Steps, free, kind

NFT = "nft"
OURS = ("inet", "qgw")

FIREWALLD = f"""
table inet firewalld {{
  chain mangle_PREROUTING {{
    type filter hook prerouting priority mangle + 10; policy accept;
  }}
  chain nat_POSTROUTING {{
    type nat hook postrouting priority srcnat + 10; policy accept;
    oifname "{WAN}" jump nat_POST_public
  }}
  chain nat_POST_public {{ meta nfproto ipv4 oifname "unused0" masquerade; }}
  chain filter_INPUT {{
    type filter hook input priority filter + 10; policy accept;
    ct state {{ established, related }} accept
    ct status dnat accept
    iifname "lo" accept
    udp dport {{ 51810, 51811, 51812, 4720-4740 }} accept
    ip protocol esp accept
    ip6 nexthdr esp accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
    ct state invalid drop
    reject with icmpx admin-prohibited
  }}
  chain filter_FORWARD {{
    type filter hook forward priority filter + 10; policy accept;
    ct state {{ established, related }} accept
    ct status dnat accept
    iifname "{LAN}" accept
    oifname "{LAN}" accept
    ct state invalid drop
    reject with icmpx admin-prohibited
  }}
  chain filter_OUTPUT {{
    type filter hook output priority filter + 10; policy accept;
    ct state {{ established, related }} accept
    oifname "lo" accept
  }}
}}
"""
"""What firewalld loads, in short, for a zone that lets the gateway's traffic in."""

DOCKER = """
table ip filter {
  chain DOCKER-USER { return; }
  chain FORWARD {
    type filter hook forward priority filter; policy accept;
    counter jump DOCKER-USER
    oifname "docker0" ct state related,established counter accept
    iifname "docker0" oifname != "docker0" counter accept
  }
}
table ip nat {
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade
  }
}
"""
"""What Docker loads, but for its policy to forward nothing."""


def _masquerade(device: str) -> str:
    return f"""
table inet operator {{
  chain post {{
    type nat hook postrouting priority srcnat; policy accept;
    {device} masquerade
  }}
}}
"""


@kind(needs=NFT, last_word=True)
def all_rulesets_flushed(at: Spot) -> Steps:
    """As every `nft -f` script of an administrator begins."""
    at.nft("flush ruleset")
    yield FLOWS


@kind(needs=NFT, last_word=True)
def our_table_deleted(at: Spot) -> Steps:
    """The fence itself."""
    at.nft_against_ours("delete table " + " ".join(OURS))
    yield FLOWS


def _objects(at: Spot, what: str) -> list[str]:
    listed = json.loads(at.host.run("nft", "-j", "list", "table", *OURS))
    return [str(item[what]["name"]) for item in listed["nftables"] if what in item]


@kind(needs=NFT, last_word=True)
def our_sets_flushed(at: Spot) -> Steps:
    """What passing is granted by."""
    script = [f"flush set {' '.join(OURS)} {name}" for name in _objects(at, "set")]
    assert script, "the fence has no sets"
    at.nft_against_ours("\n".join(script))
    yield FLOWS


@kind(needs=NFT, last_word=True)
def our_chains_flushed(at: Spot) -> Steps:
    """The rules, and not the chains."""
    at.nft_against_ours("flush table " + " ".join(OURS))
    yield FLOWS


@kind(needs=NFT)
def operator_masquerades_the_wan(at: Spot) -> Steps:
    """Without an exception for the tunnel, as an access router has it."""
    at.nft(_masquerade(f'oifname "{WAN}"'))
    # ESP policies see the translated source: what they do not match must not leave.
    yield free(0.7)
    at.nft("delete table inet operator")


@kind(needs=NFT)
def operator_masquerades_everything(at: Spot) -> Steps:
    """Whatever leaves by whatever device."""
    at.nft(_masquerade(f'oifname != "{LAN}"'))
    yield free(0.7)
    at.nft("delete table inet operator")


@kind(needs=NFT)
def operator_accepts_everything_first(at: Spot) -> Steps:
    """Chains before all others, which end in accept."""
    chains = "\n".join(
        f"chain {hook} {{\ntype filter hook {hook} priority -400; policy accept;\n"
        "accept\n}"
        for hook in ("prerouting", "input", "forward", "output", "postrouting")
    )
    at.nft(f"table inet operator {{\n{chains}\n}}")
    yield FLOWS
    at.nft("delete table inet operator")


@kind(needs=NFT)
def firewalld_loads_its_rules(at: Spot) -> Steps:
    """Beside ours, in a table of its own."""
    at.nft(FIREWALLD)
    yield FLOWS
    at.nft("delete table inet firewalld")


@kind(needs=NFT)
def firewalld_reloads(at: Spot) -> Steps:
    """Its table is replaced in one go, while traffic flows."""
    at.nft(FIREWALLD)
    at.nft("table inet firewalld {}\ndelete table inet firewalld\n" + FIREWALLD)
    yield FLOWS
    at.nft("delete table inet firewalld")


@kind(needs=NFT)
def docker_loads_its_rules(at: Spot) -> Steps:
    """As `iptables-nft` writes them."""
    at.nft(DOCKER)
    yield FLOWS
    at.nft("delete table ip filter\ndelete table ip nat")


@kind(needs=NFT)
def operator_drops_forwarding(at: Spot) -> Steps:
    """His rules stop the site; they do not stop the tunnel."""
    at.nft(
        "table inet operator {\nchain forward {\n"
        "type filter hook forward priority filter; policy drop;\n}\n}"
    )
    yield Phase(("in",), lasts=0.5, up=True)
    at.nft("delete table inet operator")


@kind(needs="flowtable")
def operator_has_a_flow_table(at: Spot) -> Steps:
    """Established flows then bypass the forward chains."""
    at.nft(f"""
table inet operator {{
  flowtable fast {{ hook ingress priority 0; devices = {{ {LAN}, {WAN} }}; }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    meta l4proto udp flow add @fast
  }}
}}""")
    yield Phase(lasts=1.5)
    at.nft("delete table inet operator")


@kind(needs=NFT, last_word=True)
def connections_forgotten(at: Spot) -> Steps:
    """What `conntrack -F` does."""

    def flush() -> None:
        with NFCTSocket() as conntrack:
            conntrack.flush()

    made_inside(at.host.name, flush)
    yield FLOWS
