"""Loading: defaults, paths, and every problem at once with its file and line."""

import os
from collections.abc import Callable
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest

from gateway.config import checks, files, load, problems, tables
from gateway.config.load import load_config
from gateway.config.model import (
    Endpoint,
    GatewayConfig,
    LinkSource,
    LogLevel,
    QKDPolicy,
    Role,
)
from gateway.errors import ConfigError, ConfigProblem

MINIMAL = '[gateway]\nidentity = "identity.key"\n'
TUNNEL = """
[tunnels.paris]
peer = "peers/paris.pub"
endpoint = "192.0.2.1"
qkd = "off"
remote_subnets = ["10.2.0.0/16"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(main: str, **others: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(main)
        path.chmod(0o644)
        folder = tmp_path / "tunnels.d"
        if others:
            folder.mkdir(mode=0o755, exist_ok=True)
        for name, text in others.items():
            (folder / f"{name}.toml").write_text(text)
            (folder / f"{name}.toml").chmod(0o644)
        return path

    return write


Write = Callable[..., Path]


def problems_of(path: Path) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return list(caught.value.problems)


def only_problem(path: Path) -> ConfigProblem:
    found = problems_of(path)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def test_defaults(write: Write) -> None:
    path = write(MINIMAL)
    config = load_config(path)
    assert config == GatewayConfig(
        identity=path.parent / "identity.key",
        listen=(Endpoint("0.0.0.0", 51810), Endpoint("::", 51810)),  # noqa: S104 - the default
        control_mtu=1232,
        kem_provider=config.kem_provider,
        state_dir=Path("/var/lib/qgw"),
        control_socket=Path("/run/qgw/control.sock"),
        control_group="qgw",
        view_group="qgw-view",
        second_person=(),
        second_person_within=600.0,
        keystore=Path("/var/lib/qgw/keys.db"),
        master_key=None,
        log_format=config.log_format,
        log_level=LogLevel.INFO,
        wireguard_ports=(51811, 51812),
        links={},
        tunnels={},
        files=(path,),
    )
    assert config.kem_provider == "auto"
    assert config.log_format == "auto"


def test_tunnel_defaults(write: Write) -> None:
    tunnel = load_config(write(MINIMAL + TUNNEL)).tunnels["paris"]
    assert tunnel.endpoint == Endpoint("192.0.2.1", 51810)
    assert tunnel.role is Role.AUTO
    assert tunnel.rotation_interval == 120
    assert tunnel.max_epoch_lifetime == 360
    assert tunnel.interface == "qgw-paris"
    assert tunnel.enabled
    assert not tunnel.encap
    assert tunnel.mtu is None
    assert tunnel.link is None
    assert tunnel.psk_file is None


def test_without_a_word_qkd_is_required(write: Write) -> None:
    problem = only_problem(write(MINIMAL + TUNNEL.replace('qkd = "off"\n', "")))
    assert problem.key == "tunnels.paris.link"
    assert problem.expected == 'a link, since qkd is "required"'


def test_everything_is_read(write: Write) -> None:
    path = write(
        """
[gateway]
identity = "/keys/id"
listen = "[2001:db8::1]:4000"
control_mtu = 1400
kem_provider = "openssl"
state_dir = "state"
control_socket = "/run/x.sock"
control_group = "wheel"
wireguard_ports = [1, 2]
[keystore]
path = "k.db"
master_key = "m.key"
[log]
format = "console"
level = "debug"
[links.fibre]
source = "simulated"
rate = 2
seed_file = "seed"
key_lifetime = 60
low_water = 3
capacity = 9
""",
        a="""
[tunnels.paris]
peer = "paris.pub"
endpoint = "Paris.example.org:99"
role = "responder"
local_address = "2001:DB8::1"
plane = "esp"
qkd = "preferred"
qkd_every = 30
link = "fibre"
psk = "p.psk"
rotation_interval = 10
max_epoch_lifetime = 12
encap = true
addresses = ["10.9.0.1/30", "fd00::1"]
local_subnets = ["10.1.0.0/16"]
remote_subnets = ["10.2.0.0/16", "2001:db8:2::/48"]
interface = "tun9"
mtu = 1300
enabled = false
""",
    )
    config = load_config(path)
    here = path.parent
    assert config.listen == (Endpoint("2001:db8::1", 4000),)
    assert config.state_dir == here / "state"
    assert (config.keystore, config.master_key) == (here / "k.db", here / "m.key")
    link = config.links["fibre"]
    assert (link.source, link.rate) == (LinkSource.SIMULATED, 2.0)
    assert (link.seed_file, link.key_lifetime) == (here / "seed", 60.0)
    assert (link.low_water, link.capacity) == (3, 9)
    tunnel = config.tunnels["paris"]
    assert tunnel.peer_identity == here / "tunnels.d" / "paris.pub"
    assert tunnel.psk_file == here / "tunnels.d" / "p.psk"
    assert tunnel.endpoint == Endpoint("Paris.example.org", 99)
    assert tunnel.local_address == "2001:db8::1"
    assert (tunnel.qkd, tunnel.qkd_every) == (QKDPolicy.PREFERRED, 30)
    assert tunnel.addresses == (ip_interface("10.9.0.1/30"), ip_interface("fd00::1"))
    assert tunnel.remote_subnets[1] == ip_network("2001:db8:2::/48")
    assert (tunnel.interface, tunnel.mtu, tunnel.enabled) == ("tun9", 1300, False)
    assert tunnel.source_file == here / "tunnels.d" / "a.toml"
    assert config.files == (path, here / "tunnels.d" / "a.toml")


def test_keystore_follows_the_state_folder(write: Write) -> None:
    config = load_config(write(MINIMAL + 'state_dir = "/srv/q"\n'))
    assert config.keystore == Path("/srv/q/keys.db")


def test_all_problems_at_once_in_order(write: Write) -> None:
    path = write(
        '[gateway]\nidentty = "x"\nlisten = ["0.0.0.0:99999"]\n[log]\nlevel = "loud"\n',
        b='[tunnels.b]\npeer = 3\nrotation_interval = "10m"\nremote_subnets = [\n'
        '  "10.0.0.0/8",\n  "10.1.0.1/16",\n]\nendpoint = "192.0.2.1"\nqkd = "off"\n',
        a="x = = 1\n",
    )
    where = [(Path(p.file).name, p.line, p.key) for p in problems_of(path)]
    assert where == [
        ("gateway.toml", 1, "gateway.identity"),
        ("gateway.toml", 2, "gateway.identty"),
        ("gateway.toml", 3, "gateway.listen[0]"),
        ("gateway.toml", 5, "log.level"),
        ("a.toml", 1, "syntax"),
        ("b.toml", 2, "tunnels.b.peer"),
        ("b.toml", 3, "tunnels.b.rotation_interval"),
        ("b.toml", 6, "tunnels.b.remote_subnets[1]"),
    ]


def test_unknown_key_suggests_the_near_one(write: Write) -> None:
    problem = only_problem(write(MINIMAL + TUNNEL + "rotation_intervall = 4\n"))
    assert problem.expected == "a known key (did you mean rotation_interval?)"
    assert problem.found == "an unknown one"
    assert problem.line == 9


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('role = "boss"', "role", "one of auto, initiator, responder"),
        ("encap = 1", "encap", "true or false"),
        ('mtu = "1400"', "mtu", "a whole number from 576 to 65535"),
        ("qkd_every = 0", "qkd_every", "a whole number from 1 to 10080"),
        ("qkd_every = 10081", "qkd_every", "a whole number from 1 to 10080"),
        ("qkd_every = 2.5", "qkd_every", "a whole number from 1 to 10080"),
        ("mtu = true", "mtu", "a whole number from 576 to 65535"),
        ("rotation_interval = nan", "rotation_interval", "a number of seconds"),
        ("rotation_interval = 1.9", "rotation_interval", "a number of seconds from 2"),
        ("rotation_interval = inf", "rotation_interval", "a number of seconds"),
        ("max_epoch_lifetime = 121", "max_epoch_lifetime", "at least rotation_inter"),
        ('interface = "qgw-0123456789ab"', "interface", "an interface name"),
        ('interface = "a/b"', "interface", "an interface name"),
        ('interface = ".."', "interface", "an interface name"),
        ('local_address = "10.0.0.0/8"', "local_address", "an IPv4 or IPv6 address"),
        ('local_address = "2001:db8::1"', "local_address", "an IPv4 address"),
        ('link = "nowhere"', "link", "a configured link (none)"),
        ('addresses = ["10.0.0.1/33"]', "addresses[0]", "an address and prefix"),
        ('addresses = "10.0.0.1/30"', "addresses", "a list"),
        ("local_subnets = [1]", "local_subnets[0]", "a string"),
        (
            'local_subnets = ["10.1.0.0/16", "10.1.0.0/16"]',
            "local_subnets[1]",
            "each element once",
        ),
        ('local_subnets = ["10.2.0.0/16"]', "remote_subnets", "prefixes that are not"),
        ('plane = "wireguard"\nencap = true', "encap", "encap only with plane esp"),
        ('local_subnets = ["fd00::/64"]\nmtu = 1279', "mtu", "at least 1280"),
        ("psk = 12", "psk", "the name of a file"),
        ('peer2 = "x"', "peer2", "a known key (did you mean peer?)"),
    ],
)
def test_wrong_tunnel_keys(write: Write, line: str, key: str, expected: str) -> None:
    problem = only_problem(write(MINIMAL + TUNNEL + line + "\n"))
    assert problem.key == f"tunnels.paris.{key}"
    assert problem.expected.startswith(expected)


@pytest.mark.parametrize(
    "endpoint",
    [
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:",
        "192.0.2.1:+1",
        "192.0.2.256",
        "[192.0.2.1]:1",
        "[2001:db8::1",
        "[2001:db8::1]1",
        "2001:db8::g",
        "a b",
        "-a.example",
        "a..example",
        "a/b",
        "x" * 64 + ".example",
        "",
        "\\u0000",
        "host:\\u0661",
    ],
)
def test_wrong_endpoints(write: Write, endpoint: str) -> None:
    text = TUNNEL.replace('"192.0.2.1"', f'"{endpoint}"')
    assert only_problem(write(MINIMAL + text)).key == "tunnels.paris.endpoint"


def test_a_remote_prefix_may_cover_the_endpoint(write: Write) -> None:
    text = TUNNEL.replace('"10.2.0.0/16"', '"0.0.0.0/0", "::/0"')
    tunnel = load_config(write(MINIMAL + text)).tunnels["paris"]
    assert [str(prefix) for prefix in tunnel.remote_subnets] == ["0.0.0.0/0", "::/0"]


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        (["0.0.0.0:1", "[::]:1"], None),
        (["192.0.2.1:1", "192.0.2.2:1", "192.0.2.1:2", "0.0.0.0:3"], None),
        (["192.0.2.1:1", "0.0.0.0:1"], "0.0.0.0:1 and 192.0.2.1:1"),
        (["[::]:1", "[2001:db8::1]:1"], "[::]:1 and [2001:db8::1]:1"),
        (["[::]:1", "192.0.2.1:1"], None),
    ],
)
def test_addresses_to_listen_on(
    write: Write, listen: list[str], found: str | None
) -> None:
    path = write(MINIMAL + f"listen = {listen}\n")
    if found is None:
        assert len(load_config(path).listen) == len(listen)
    else:
        problem = only_problem(path)
        assert (problem.key, problem.found) == ("gateway.listen", found)


def test_a_local_address_is_one_that_is_listened_on(write: Write) -> None:
    listen = MINIMAL + 'listen = ["192.0.2.8:51810", "192.0.2.9", "[::]"]\n'
    for host in ("192.0.2.8", "192.0.2.9"):
        load_config(write(listen + TUNNEL + f'local_address = "{host}"\n'))
    problem = only_problem(write(listen + TUNNEL + 'local_address = "192.0.2.7"\n'))
    assert problem.key == "tunnels.paris.local_address"
    assert problem.expected == "one that listen names (192.0.2.8, 192.0.2.9)"
    load_config(write(MINIMAL + TUNNEL + 'local_address = "192.0.2.7"\n'))


@pytest.mark.parametrize("role", ["auto", "initiator"])
def test_who_calls_needs_an_endpoint(write: Write, role: str) -> None:
    text = TUNNEL.replace('endpoint = "192.0.2.1"', f'role = "{role}"')
    assert only_problem(write(MINIMAL + text)).key == "tunnels.paris.endpoint"


def test_a_responder_needs_none(write: Write) -> None:
    text = TUNNEL.replace('endpoint = "192.0.2.1"', 'role = "responder"')
    assert load_config(write(MINIMAL + text)).tunnels["paris"].endpoint is None


def test_a_tunnel_leads_somewhere(write: Write) -> None:
    text = TUNNEL.replace('remote_subnets = ["10.2.0.0/16"]', "")
    assert only_problem(write(MINIMAL + text)).found == "neither"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("control_mtu = 575", "gateway.control_mtu"),
        ("control_mtu = 1453", "gateway.control_mtu"),
        ("wireguard_ports = [1]", "gateway.wireguard_ports"),
        ("wireguard_ports = [51810, 4]", "gateway.wireguard_ports"),
        ("wireguard_ports = [4, 4]", "gateway.wireguard_ports[1]"),
        ('listen = ["vpn.example.org:1"]', "gateway.listen[0]"),
        ('kem_provider = "home-made"', "gateway.kem_provider"),
        ('control_group = "a\\nb"', "gateway.control_group"),
        ("[log]\nlevel = 3", "log.level"),
        ("[logs]", "logs"),
        ("log = 3", "gateway.log"),
        ("[links]\na = 1", "links.a"),
        ('[links.a]\nsource = "fiel"', "links.a.source"),
        ('[links.a]\nsource = "file"\nrate = 1.0', "links.a.rate"),
        (f"[tunnels.{'x' * 33}]", f"tunnels.{'x' * 33}"),
        ("[tunnels.-x]", "tunnels.-x"),
        ('[tunnels."x y"]', "tunnels.'x y'"),
        ("[[tunnels]]", "tunnels"),
    ],
)
def test_wrong_gateway_keys(write: Write, line: str, key: str) -> None:
    assert only_problem(write(MINIMAL + line + "\n")).key == key


def test_simulated_link_needs_rate_and_seed(write: Write) -> None:
    found = problems_of(write(MINIMAL + '[links.a]\nsource = "simulated"\n'))
    assert [problem.key for problem in found] == ["links.a.rate", "links.a.seed_file"]


def test_a_simulated_stock_can_hold_what_it_warns_at(write: Write) -> None:
    link = '[links.a]\nsource = "simulated"\nrate = 1\nseed_file = "seed"\n'
    problem = only_problem(write(MINIMAL + link + "low_water = 10\ncapacity = 9\n"))
    assert (problem.key, problem.found) == ("links.a.low_water", "10, 9")


@pytest.mark.parametrize(
    "secret",
    [
        "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=",
        "abcdef0123456789" * 4,
        "two\\nlines",
    ],
)
@pytest.mark.parametrize("key", ["psk", "master_key", "seed_file"])
def test_a_secret_in_the_place_of_its_file_is_not_repeated(
    write: Write, secret: str, key: str
) -> None:
    text = {
        "psk": TUNNEL + f'psk = "{secret}"\n',
        "master_key": f'[keystore]\nmaster_key = "{secret}"\n',
        "seed_file": f'[links.a]\nsource="simulated"\nrate=1\nseed_file="{secret}"\n',
    }[key]
    with pytest.raises(ConfigError) as caught:
        load_config(write(MINIMAL + text))
    (problem,) = caught.value.problems
    assert problem.key.endswith(key)
    assert problem.found == "(hidden)"
    assert secret not in f"{problem}{caught.value!r}"


def test_names_are_unique_across_files(write: Write) -> None:
    path = write(MINIMAL + TUNNEL, other=TUNNEL)
    problem = only_problem(path)
    assert problem.key == "tunnels.paris"
    assert problem.found == f"another one at {path}:4"
    assert problem.file.endswith("tunnels.d/other.toml")


def test_one_prefix_of_two_tunnels_names_both(write: Write) -> None:
    rome = TUNNEL.replace("paris", "rome")
    problem = only_problem(write(MINIMAL + TUNNEL, rome=rome))
    assert problem.key == "tunnels.rome.remote_subnets"
    assert problem.found == "10.2.0.0/16 of tunnel rome and of tunnel paris"


@pytest.mark.parametrize("narrow", ["10.2.3.0/24", "10.2.0.0/17", "10.2.3.4/32"])
def test_the_longer_prefix_of_two_tunnels_wins(write: Write, narrow: str) -> None:
    rome = TUNNEL.replace("paris", "rome").replace("10.2.0.0/16", narrow)
    config = load_config(write(MINIMAL + TUNNEL, rome=rome))
    assert set(config.tunnels) == {"paris", "rome"}


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        ("10.1.0.0/16", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.2.0.0/16"),
        ("10.1.0.0/16", "0.0.0.0/0"),
        ("fd00:1::/64", "::/0"),
    ],
)
def test_the_longer_prefix_of_two_sites_wins(
    write: Write, local: str, remote: str
) -> None:
    """The field's usual full tunnel, and a plan of addresses with a summary route."""
    text = TUNNEL.replace("10.2.0.0/16", remote) + f'local_subnets = ["{local}"]\n'
    config = load_config(write(MINIMAL + text))
    assert [str(each) for each in config.tunnels["paris"].local_subnets] == [local]


def test_two_tunnels_on_one_interface(write: Write) -> None:
    rome = TUNNEL.replace("paris", "rome").replace("10.2.", "10.3.")
    path = write(MINIMAL + TUNNEL, rome=rome + 'interface = "qgw-paris"\n')
    assert only_problem(path).key == "tunnels.rome.interface"


WIREGUARD = 'plane = "wireguard"\n'


def second(extra: str = "", peer: str = "peers/paris.pub") -> str:
    rome = TUNNEL.replace("[tunnels.paris]", "[tunnels.rome]").replace("10.2.", "10.3.")
    return rome.replace("peers/paris.pub", peer) + extra


@pytest.mark.parametrize("plane", ["wireguard", "wireguard-go"])
@pytest.mark.parametrize("peer", ["peers/paris.pub", "./peers/../peers/paris.pub"])
def test_wireguard_has_one_tunnel_between_two_gateways(
    write: Write, plane: str, peer: str
) -> None:
    line = f'plane = "{plane}"\n'
    path = write(MINIMAL + TUNNEL + line + second(line, peer))
    assert str(only_problem(path)) == (
        f"{path}:12: tunnels.rome.peer: expected a peer of its own, since plane is "
        f'"{plane}", or plane = "esp", found the peer of tunnel paris'
    )


@pytest.mark.parametrize(
    "rome",
    [
        second('plane = "esp"\n'),
        second(),  # auto: the kernel will tell
        second(WIREGUARD + "enabled = false\n"),
        second(WIREGUARD, "peers/rome.pub"),
    ],
)
def test_other_tunnels_beside_one_of_wireguard(write: Write, rome: str) -> None:
    assert len(load_config(write(MINIMAL + TUNNEL + WIREGUARD + rome)).tunnels) == 2


@pytest.mark.parametrize(
    ("paris", "rome", "key", "shared"),
    [
        ('"10.9.0.1/30"', '"10.9.0.2/30"', "addresses", "10.9.0.0/30"),
        ('"fd09::1/64"', '"10.9.0.1/30", "fd09::2/64"', "addresses", "fd09::/64"),
        ('"10.3.0.1/16"', "", "remote_subnets", "10.3.0.0/16"),
        ("", '"10.2.0.1/16"', "addresses", "10.2.0.0/16"),
    ],
)
def test_a_network_inside_leads_through_one_tunnel(
    write: Write, paris: str, rome: str, key: str, shared: str
) -> None:
    path = write(
        MINIMAL
        + TUNNEL
        + f"addresses = [{paris}]\n"
        + second(f"addresses = [{rome}]\n", "peers/rome.pub")
    )
    problem = only_problem(path)
    assert problem.key == f"tunnels.rome.{key}"
    assert problem.found == f"{shared}, which tunnel paris has too"


@pytest.mark.parametrize(
    "addresses",
    [
        ('"10.1.0.1/16"', '"10.1.0.1/16"'),  # in our own local_subnets
        ('"10.9.0.1/32"', '"10.9.0.1/32"'),
        ('"10.9.0.1/30"', '"10.9.0.5/30"'),
        ('"10.9.0.1/24"', '"10.9.0.5/30"'),
    ],
)
def test_addresses_that_lead_apart(write: Write, addresses: tuple[str, str]) -> None:
    keys = 'local_subnets = ["10.1.0.0/16"]\naddresses = '
    paris, rome = (f"{keys}[{each}]\n" for each in addresses)
    text = MINIMAL + TUNNEL + paris + second(rome, "peers/rome.pub")
    assert len(load_config(write(text)).tunnels) == 2


LINK = '[links.fibre]\nsource = "file"\n'
WITH_LINK = TUNNEL.replace('qkd = "off"', 'link = "fibre"')


def another(peer: str, extra: str = "") -> str:
    rome = WITH_LINK.replace("[tunnels.paris]", "[tunnels.rome]")
    rome = rome.replace("10.2.", "10.3.").replace("peers/paris.pub", peer)
    return rome + extra


@pytest.mark.parametrize("peer", ["peers/paris.pub", "./tunnels.d/../peers/paris.pub"])
def test_two_tunnels_to_one_peer_share_a_link(write: Write, peer: str) -> None:
    config = load_config(write(MINIMAL + LINK + WITH_LINK + another(peer)))
    assert {tunnel.link for tunnel in config.tunnels.values()} == {"fibre"}


def test_a_link_has_two_ends(write: Write) -> None:
    path = write(MINIMAL + LINK + WITH_LINK, b=another("peers/rome.pub"))
    problem = only_problem(path)
    here = path.parent
    assert str(problem) == (
        f"{here}/tunnels.d/b.toml:5: tunnels.rome.link: expected a link of its own, or "
        "the peer file of tunnel paris: a QKD link has two ends, found fibre with peer "
        f"{here}/tunnels.d/peers/rome.pub, and in tunnel paris with peer "
        f"{here}/peers/paris.pub"
    )


def test_a_tunnel_that_uses_no_keys_takes_no_end_of_a_link(write: Write) -> None:
    rome = another("peers/rome.pub", 'qkd = "off"\n')
    for first, second in ((WITH_LINK, rome), (rome, WITH_LINK)):
        config = load_config(write(MINIMAL + LINK + first + second))
        assert len(config.tunnels) == 2


def test_a_peer_that_is_not_named_is_one_problem(write: Write) -> None:
    rome = another("x").replace('peer = "x"\n', "")
    problem = only_problem(write(MINIMAL + LINK + WITH_LINK + rome))
    assert problem.key == "tunnels.rome.peer"


def test_a_broken_file_makes_no_link_look_missing(write: Write) -> None:
    tunnel = TUNNEL.replace('qkd = "off"', 'link = "fibre"')
    problem = only_problem(write("x = \n", a=tunnel))
    assert (problem.key, problem.line) == ("syntax", 1)


def test_default_interfaces_are_short_and_stable() -> None:
    assert tables.default_interface("elevenchars") == "qgw-elevenchars"
    long = tables.default_interface("twelve-chars")
    assert long == "qgw-twel-rxi74o"
    assert long != tables.default_interface("twelve-charz")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_files_that_others_can_write_are_refused(write: Write, mode: int) -> None:
    path = write(MINIMAL)
    path.chmod(mode)
    problem = only_problem(path)
    assert problem.key == "permissions"
    assert problem.found == f"mode {mode:04o}"


def test_a_folder_that_others_can_write_is_refused(write: Write) -> None:
    path = write(MINIMAL, a=TUNNEL)
    (path.parent / "tunnels.d").chmod(0o777)
    assert only_problem(path).file.endswith("tunnels.d")


def test_only_toml_files_that_are_not_hidden_are_read(write: Write) -> None:
    path = write(MINIMAL, a=TUNNEL)
    for name in (".b.toml", "c.toml~", "d.toml.dpkg-new"):
        (path.parent / "tunnels.d" / name).write_text("= garbage")
    assert list(load_config(path).tunnels) == ["paris"]


def test_missing_file(tmp_path: Path) -> None:
    problem = only_problem(tmp_path / "nothing.toml")
    assert (problem.key, problem.found) == ("file", "no such file or directory")


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gateway.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = Path("/dev/zero")
    assert only_problem(path).expected == "a regular file"


def test_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(MINIMAL)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", len(MINIMAL))
    load_config(path)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", len(MINIMAL) - 1)
    assert only_problem(path).found == "more"


def test_too_many_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 1)
    assert only_problem(write(MINIMAL, a=TUNNEL, b="")).found == "2"


def test_too_many_tunnels(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_TUNNELS", 1)
    rome = TUNNEL.replace("paris", "rome").replace("10.2.", "10.3.")
    assert only_problem(write(MINIMAL + TUNNEL + rome)).key == "tunnels.rome"


def test_too_many_problems(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "MAX_PROBLEMS", 5)
    unknown = "".join(f"key_{index} = 1\n" for index in range(9))
    assert len(problems_of(write(MINIMAL + unknown))) == 5


def test_nested_too_deeply(write: Write) -> None:
    problem = only_problem(write(MINIMAL + "x = " + "[" * 5000 + "]" * 5000))
    assert problem.key == "syntax"


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"# fine\n# \xff\n")
    path.chmod(0o600)
    problem = only_problem(path)
    assert (problem.line, problem.found) == (2, "byte 0xff")


def test_end_of_file_inside_a_string(write: Write) -> None:
    problem = only_problem(write(MINIMAL + 'x = """\nno end\n'))
    assert problem.key == "syntax"
    assert problem.line >= 3


def test_a_hub_of_thousands_loads_quickly_enough(write: Write) -> None:
    tunnels = [
        f'[tunnels.t{i}]\npeer="p"\nrole="responder"\nqkd="off"\n'
        f'remote_subnets=["10.{i >> 8}.{i & 255}.0/24"]\n'
        for i in range(5000)
    ]
    config = load_config(write(MINIMAL + "".join(tunnels)))
    assert len(config.tunnels) == 5000


def test_overlaps_agree_with_comparing_each_with_each() -> None:
    texts = ["10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16", "11.0.0.0/8"]
    texts += ["::/0", "2001:db8::/32", "2001:db8:1::/48", "0.0.0.0/32", "10.0.0.0/9"]
    networks = [(ip_network(text), text) for text in texts]
    found = {narrow for _, (_, narrow) in checks.overlaps(networks)}
    expected = {
        b
        for x, a in networks
        for y, b in networks
        if a != b and x.version == y.version and y.subnet_of(x)  # type: ignore[arg-type] # versions are equal
    }
    assert found == expected


def test_a_folder_of_tunnels_that_is_a_symlink_to_nothing_is_a_mistake(
    write: Write,
) -> None:
    path = write(MINIMAL)
    (path.parent / "tunnels.d").symlink_to(path.parent / "unmounted")
    assert only_problem(path).file.endswith("tunnels.d")
