"""Networks of this host inside remote prefixes: which pass, and what is said of it."""

import asyncio
import logging
from pathlib import Path

import pytest
from lab.inside import made_inside

from gateway.acceptance.findings import Notes
from gateway.acceptance.own_addresses import check_networks
from gateway.config.load import load_config
from gateway.dataplane.fence.enforcement import Fencing
from tests.kernel.fence.dhcp import ENDLESS, missing_dhcp, server, take_lease
from tests.kernel.fence.guarded import configured, guarded
from tests.kernel.fence.place import DEVICE, NAME, REMOTE, Place


def test_new_networks_are_exempt_once_accepted_and_leases_never(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    everything = '["0.0.0.0/0", "::/0"]'
    config = configured(tmp_path, everything)

    async def found(host: str) -> set[str]:
        return await asyncio.to_thread(place.arrivals, "gateway", host)

    async def body(fencing: Fencing) -> None:
        assert await found("203.0.113.2") == {"wan"}, "connected for good"
        await asyncio.to_thread(
            place.ip,
            "gateway",
            "addr add 198.51.100.1/24 dev wan0",
            "addr add 192.0.2.1/24 dev wan0 valid_lft 600 preferred_lft 600",
        )
        await asyncio.to_thread(
            place.ip,
            "wan",
            "addr add 198.51.100.2/24 dev eth0",
            "addr add 192.0.2.2/24 dev eth0",
        )
        await asyncio.sleep(0.5)
        assert await found("198.51.100.2") == {"refused"}
        assert await found("192.0.2.2") == {"refused"}
        state = await fencing.read()
        assert state.unasked == ("198.51.100.0/24",)
        assert state.unfenced == ("192.0.2.0/24",)
        await fencing.settle(config, is_asked=True)
        assert await found("198.51.100.2") == {"wan"}
        assert await found("192.0.2.2") == {"refused"}
        assert (await fencing.read()).unasked == ()
        await asyncio.to_thread(
            place.ip, "gateway", "addr del 198.51.100.1/24 dev wan0"
        )
        await asyncio.sleep(0.5)
        assert await found("198.51.100.2") <= {"refused", "unreachable"}

    with caplog.at_level(logging.WARNING):
        guarded(place, config, tmp_path, body)
    for network in ("192.0.2.0/24", "198.51.100.0/24"):
        (said,) = [line for line in caplog.messages if network in line]
        assert "into the tunnel or nowhere" in said


@pytest.mark.parametrize("version", [4, 6])
def test_an_endless_lease_takes_nothing_out_of_a_tunnel(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture, version: int
) -> None:
    """Not when it comes, nor after a restart of the daemon or of the host."""
    lease = {4: "10.2.0.141/24", 6: "fd00:2::141/64 nodad"}[version]
    network = {4: "10.2.0.0/24", 6: "fd00:2::/64"}[version]
    config = configured(tmp_path)

    async def found() -> set[str]:
        await asyncio.sleep(0.5)
        return await asyncio.to_thread(place.arrivals, "gateway", REMOTE[version])

    async def body(fencing: Fencing) -> None:
        await asyncio.to_thread(place.ip, "gateway", f"addr add {lease} dev wan0")
        await fencing.revoke(NAME)
        assert await found() == {"refused"}
        state = await fencing.read()
        assert (state.unasked, state.passed) == ((network,), ())

    async def again(fencing: Fencing) -> None:
        assert await found() == {"refused"}
        assert (await fencing.read()).unasked == (network,)

    with caplog.at_level(logging.WARNING):
        guarded(place, config, tmp_path, body)
        place.nft("delete table inet qgw")
        guarded(place, config, tmp_path, again)
    said = [line for line in caplog.messages if network in line]
    assert len(said) == 2
    assert all("into the tunnel or nowhere" in line for line in said)


def test_a_dhcp_server_takes_nothing_out_of_a_tunnel(
    place: Place, tmp_path: Path
) -> None:
    """A real one, with a lease without an end for a part of the remote prefix."""
    if missing := missing_dhcp():
        pytest.skip(missing)
    config = configured(tmp_path)
    # It has the far site's address and the router's, as one who lies in wait.
    place.ip("wan", "addr add 10.2.0.1/24 dev eth0")

    async def body(fencing: Fencing) -> None:
        await fencing.revoke(NAME)
        await asyncio.to_thread(take_lease, place, tmp_path)
        await asyncio.sleep(0.5)
        held = await asyncio.to_thread(place.run, "gateway", "ip", "addr")
        lines = held.splitlines()
        (line,) = [number for number, one in enumerate(lines) if "10.2.0.141" in one]
        assert "valid_lft forever" in lines[line + 1]
        for host in ("gateway", "lan"):
            found = await asyncio.to_thread(place.arrivals, host, REMOTE[4])
            assert found <= {"refused"}
        assert (await fencing.read()).unasked == ("10.2.0.0/24",)

    with server(place, tmp_path, "10.2.0.141", ENDLESS):
        guarded(place, config, tmp_path, body)


def test_a_network_inside_a_remote_prefix_that_passes_is_told(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(tmp_path)

    async def body(fencing: Fencing) -> None:
        assert (await fencing.read()).passed == ()
        own = "10.2.7.1/24 dev lan0"
        await asyncio.to_thread(place.ip, "gateway", f"addr add {own}")
        await fencing.settle(config, is_asked=True)
        assert (await fencing.read()).passed == ("10.2.7.0/24",)
        (admitted,) = fencing.admissions()
        assert admitted.startswith("10.2.7.0/24, ")
        await asyncio.to_thread(place.ip, "gateway", f"addr del {own}")
        await asyncio.sleep(0.5)
        assert (await fencing.read()).passed == ()
        # Back again, as after a cable or a VRRP master that went: it is accepted.
        await asyncio.to_thread(place.ip, "gateway", f"addr add {own}")
        await asyncio.sleep(0.5)
        assert (await fencing.read()).passed == ("10.2.7.0/24",)

    with caplog.at_level(logging.WARNING):
        guarded(place, config, tmp_path, body)
    first, _ = [line for line in caplog.messages if "10.2.7.0/24" in line]
    assert "past the tunnel, in clear" in first


def test_what_was_accepted_is_so_after_a_boot_whenever_it_comes(
    place: Place, tmp_path: Path
) -> None:
    """A LAN inside a remote prefix, whose interface is late; and other prefixes."""
    config = configured(tmp_path)
    own = "10.2.7.1/24 dev lan0"

    async def accept(fencing: Fencing) -> None:
        await fencing.settle(config, is_asked=True)

    async def late(fencing: Fencing) -> None:
        assert (await fencing.read()).passed == ()
        await asyncio.to_thread(place.ip, "gateway", f"addr add {own}")
        await asyncio.sleep(0.5)
        state = await fencing.read()
        assert (state.passed, state.unasked) == (("10.2.7.0/24",), ())

    async def other(fencing: Fencing) -> None:
        """An operator wrote other prefixes, and started the daemon."""
        state = await fencing.read()
        assert state.passed == ("10.2.7.0/24", "10.3.7.0/24")

    place.ip("gateway", f"addr add {own}")
    guarded(place, config, tmp_path, accept)
    place.ip("gateway", f"addr del {own}")
    guarded(place, config, tmp_path, late)
    place.ip("gateway", "addr add 10.3.7.1/24 dev lan0")
    wider = configured(tmp_path, '["10.2.0.0/15", "fd00:2::/48"]')
    guarded(place, wider, tmp_path, other)


def test_a_lease_takes_no_part_of_a_local_network(place: Place, tmp_path: Path) -> None:
    """What was decrypted for the LAN leaves by its interface, or not at all."""

    async def body(fencing: Fencing) -> None:
        await fencing.grant(NAME, DEVICE, 60)
        await asyncio.to_thread(
            place.ip, "gateway", "addr add 10.1.0.129/25 dev wan0", "link set lan0 up"
        )
        await asyncio.sleep(0.5)
        listed = await asyncio.to_thread(place.listing)
        assert '"wan0"' not in listed
        assert '"lan0"' in listed

    guarded(place, configured(tmp_path), tmp_path, body)


def test_networks_of_local_subnets_and_in_a_full_tunnel_are_no_warning(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual: tuple[str, ...] = ()

    async def body(fencing: Fencing) -> None:
        state = await fencing.read()
        assert (state.passed, state.usual) == ((), usual)
        assert fencing.admissions() == []

    guarded(place, configured(tmp_path, '["10.0.0.0/15", "fd00::/30"]'), tmp_path, body)
    usual = ("10.9.0.0/30", "2001:db8::/64", "203.0.113.0/24", "fd00:9::/64")
    with caplog.at_level(logging.INFO):
        everything = '["0.0.0.0/0", "::/0"]'
        guarded(place, configured(tmp_path, everything), tmp_path, body)
    told = [one for one in caplog.records if "beside the full tunnel" in one.message]
    assert {one.levelno for one in told} == {logging.INFO}
    assert len(told) == len(usual)


def test_what_a_reload_lets_past_a_full_tunnel_is_said_once(
    place: Place, tmp_path: Path
) -> None:
    config = configured(tmp_path, '["0.0.0.0/0", "::/0"]')

    async def body(fencing: Fencing) -> None:
        assert await fencing.settle(config, is_asked=True) == ()
        for address in ("198.51.100.1/24", "150.1.1.9/12"):
            await asyncio.to_thread(place.ip, "gateway", f"addr add {address} dev wan0")
        await asyncio.sleep(0.5)
        news = await fencing.settle(config, is_asked=True)
        assert news == ("150.0.0.0/12", "198.51.100.0/24")
        wide, small = fencing.admissions(news)
        assert wide.startswith("150.0.0.0/12, ")
        assert small.startswith("198.51.100.0/24, ")
        state = await fencing.read()
        assert state.passed == ("150.0.0.0/12",), "public and wide: a warning"
        assert "198.51.100.0/24" in state.usual
        assert await fencing.settle(config, is_asked=True) == ()
        (still,) = fencing.admissions()
        assert still == wide

    guarded(place, config, tmp_path, body)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("150.1.1.9/1", "128.0.0.0/1"),
        ("8.8.8.9/1", "0.0.0.0/1"),
        ("198.51.100.1/7", "198.0.0.0/7"),
        ("2a00::9/15 nodad", "2a00::/15"),
    ],
)
def test_no_reload_and_no_first_start_accepts_half_of_the_internet(
    place: Place,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    address: str,
    network: str,
) -> None:
    config = configured(tmp_path, '["0.0.0.0/0", "::/0"]')
    host = {True: "fd00:99::2", False: "198.51.100.2"}[":" in network]

    async def body(fencing: Fencing) -> None:
        for _ in range(2):
            state = await fencing.read()
            assert state.unasked == (network,)
            assert network not in state.passed + state.usual
            assert await asyncio.to_thread(place.arrivals, "gateway", host) <= {
                "refused",
                "unreachable",
            }
            assert await fencing.settle(config, is_asked=True) == ()

    place.ip("gateway", f"addr add {address} dev wan0")
    with caplog.at_level(logging.WARNING):
        guarded(place, config, tmp_path, body)
    (said,) = [line for line in caplog.messages if network in line]
    assert "add it to local_subnets (it is too wide" in said
    assert "qgw reload" not in said


def test_a_wide_network_passes_once_local_subnets_names_it(
    place: Place, tmp_path: Path
) -> None:
    config = configured(tmp_path, '["0.0.0.0/0", "::/0"]')
    path = tmp_path / "gateway.toml"
    text = path.read_text()
    path.write_text(text.replace('"10.1.0.0/24"', '"10.1.0.0/24", "198.0.0.0/7"'))
    named = load_config(path)

    async def body(fencing: Fencing) -> None:
        await fencing.settle(named, is_asked=True)
        state = await fencing.read()
        assert state.unasked == state.passed == ()

    place.ip("gateway", "addr add 198.51.100.1/7 dev wan0")
    guarded(place, config, tmp_path, body)


def test_a_reload_while_a_link_is_down_drops_nothing(
    place: Place, tmp_path: Path
) -> None:
    """Until the prefixes that cover the network change."""
    config = configured(tmp_path, '["10.0.0.0/8", "fd00::/16"]')
    own = {"10.7.0.0/24": "10.7.0.1/24", "fd00:7::/64": "fd00:7::1/64 nodad"}

    async def change(verb: str) -> None:
        for address in own.values():
            await asyncio.to_thread(
                place.ip, "gateway", f"addr {verb} {address} dev lan0"
            )
        await asyncio.sleep(0.5)

    async def body(fencing: Fencing) -> None:
        assert set(own) <= set((await fencing.read()).passed)
        await change("del")
        assert not set(own) & set((await fencing.read()).passed)
        assert await fencing.settle(config, is_asked=True) == ()
        await change("add")
        state = await fencing.read()
        assert set(own) <= set(state.passed)
        assert state.unasked == ()
        await change("del")
        narrower = configured(tmp_path, '["10.0.0.0/9", "fd00::/17"]')
        await fencing.prepare(narrower)
        assert await fencing.settle(narrower, is_asked=True) == ()
        await change("add")
        assert (await fencing.read()).unasked == tuple(own)

    for address in own.values():
        place.ip("gateway", f"addr add {address} dev lan0")
    guarded(place, config, tmp_path, body)


def test_a_check_of_the_configuration_names_what_would_pass(
    place: Place, tmp_path: Path
) -> None:
    def noted(remote: str) -> Notes:
        notes = Notes(configured(tmp_path, remote))
        check_networks(notes)
        assert notes.findings == []
        return notes

    def warned(remote: str) -> list[str]:
        return [warning.found for warning in noted(remote).warnings]

    def body() -> None:
        place.ip("gateway", "addr add 10.2.7.1/24 dev lan0")
        assert warned('["10.2.0.0/16"]') == ["10.2.7.0/24"]
        assert warned('["10.0.0.0/8"]') == ["10.2.7.0/24", "10.9.0.0/30"]
        assert warned('["10.3.0.0/16"]') == []
        assert warned('["0.0.0.0/0"]') == []
        (remark,) = noted('["0.0.0.0/0"]').remarks
        assert remark.endswith(": 10.2.7.0/24, 10.9.0.0/30, 203.0.113.0/24")
        place.ip("gateway", "addr add 150.1.1.9/1 dev wan0")
        (wide,) = noted('["0.0.0.0/0"]').warnings
        assert wide.found == "128.0.0.0/1"
        assert "local_subnets" in wide.expected
        (claimed,) = warned('["10.2.7.0/24"]')
        assert claimed.startswith("10.2.7.0/24, which this host is connected to: ")

    made_inside(place.name("gateway"), body)
