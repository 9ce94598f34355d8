"""What an operator sees of running services: alerts, the kernel, and counters."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.errors import ControlError
from gateway.kme.pki import LaboratoryCA
from gateway.observe.certificates import Certificates
from gateway.observe.fence import FRESH
from tests.unit.daemon.kme_ends import TARGET, KMESites, in_force, stock
from tests.unit.daemon.services import LINK, TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import Pair, rotate


async def kinds(end: End) -> set[str]:
    """Return the kinds of alerts, but for those about this machine's settings."""
    alerts = (await end.call("status"))["alerts"]
    found = {one["kind"] for one in alerts}
    return found - {"forwarding-off", "reverse-path-strict"}


@pytest.fixture
async def calm(ends: Pair) -> Pair:
    """Two gateways with their tunnel in force and no alarm of their stock."""
    for end in ends:
        end.link_keys["low_water"] = 0
    for end in reversed(ends):
        await end.start()
    await until(lambda: all(end.in_force() for end in ends), "the first epoch")
    await asyncio.sleep(2 * FRESH)
    return ends


async def test_show_names_what_is_real(calm: Pair) -> None:
    first, second = calm
    shown, peer = await first.status(), await second.status()
    (device,) = shown["devices"]
    assert device["name"] == "qgw0"
    assert device["addresses"] == ["10.100.0.1/32"]
    assert shown["mtu"] == device["mtu"]
    (session,), (other,) = shown["sessions"], peer["sessions"]
    assert session["active"]
    assert (session["local"], session["peer"]) == ("127.0.0.1", "127.0.0.1")
    assert session["spi_in"] == other["spi_out"]
    assert shown["local_subnets"] == ["10.10.0.0/24"]
    assert shown["remote_subnets"] == ["10.20.0.0/24"]
    assert shown["peer_address"] == f"127.0.0.1:{second.port}"
    assert 0 < shown["fence"]["granted_s"] <= 180.0
    assert shown["fence"]["dropped_out"] == 0
    with pytest.raises(KeyError):
        (await first.call("tunnel.list"))[0]["devices"]


async def test_counters_only_grow_over_rotations_and_restarts(ends: Pair) -> None:
    first, second = ends
    for end in reversed(ends):
        await end.start()
    await until(lambda: first.in_force() and second.in_force(), "the first epoch")
    before = (0, 0)
    for turn in range(20):
        first.plane.send(TUNNEL)
        second.plane.send(TUNNEL)
        status = await first.status()
        now = (status["rx_packets"], status["tx_packets"])
        assert now[0] > before[0]
        assert now[1] > before[1]
        before = now
        if turn == 10:
            await first.stop()
            await first.start()
            await until(first.in_force, "the epoch of the run before")
        else:
            await rotate(ends)
    await until(
        lambda: len(first.plane.read_state(TUNNEL).epochs) <= 2, "old epochs to go"
    )
    status = await first.status()
    assert (status["rx_packets"], status["tx_packets"]) >= before


async def test_counters_outlive_a_reload_that_makes_a_tunnel_anew(calm: Pair) -> None:
    first, second = calm
    for _ in range(5):
        first.plane.send(TUNNEL)
        second.plane.send(TUNNEL)
    before = await first.status()
    assert before["rx_packets"] >= 5
    await first.service.tunnels.remove(TUNNEL, returning=True)
    await first.service.tunnels.add(first.service.config.tunnels[TUNNEL])
    await until(first.in_force, "the tunnel made anew")
    after = await first.status()
    assert after["rx_packets"] >= before["rx_packets"]
    assert after["tx_packets"] >= before["tx_packets"]


async def test_what_was_seen_last(calm: Pair) -> None:
    first, second = calm
    await first.status()
    second.plane.send(TUNNEL)
    status = await first.status()
    assert status["received_ago_s"] < 1.0


async def test_all_is_well_but_for_the_laboratory(calm: Pair) -> None:
    assert await kinds(calm[0]) == {"simulated"}
    assert calm[0].service.status_line.text() == "1 of 1 tunnels up"


async def test_the_fence_refuses_something_of_a_tunnel_that_is_up(
    calm: Pair,
) -> None:
    first = calm[0]
    assert await kinds(first) == {"simulated"}
    first.fence.dropped[TUNNEL] = (3, 1)
    await asyncio.sleep(2 * FRESH)
    assert await kinds(first) == {"simulated", "fence-outward", "fence-inward"}
    fence = (await first.status())["fence"]
    assert (fence["dropped_out"], fence["dropped_in"]) == (3, 1)


async def test_an_act_that_waits_for_a_second_person(calm: Pair) -> None:
    first = calm[0]
    first.service.approvals.configure(["purge"], 600.0)
    with pytest.raises(ControlError, match="a second person must confirm"):
        await first.call("keystore.purge", link=LINK, all=True)
    act = f"erase every unused key of link {LINK}"
    assert first.service.status_line.text() == (
        f"1 of 1 tunnels up; waits for a second person: {act} (qgw approve 1)"
    )
    (alert,) = (
        each
        for each in (await first.call("status"))["alerts"]
        if each["kind"] == "approval-waiting"
    )
    assert alert["severity"] == "note"
    assert alert["text"].startswith(f"{act}: asked for by ")
    assert alert["hint"] == "another user runs: qgw approve 1"


async def test_a_tunnel_that_an_operator_takes_down(calm: Pair) -> None:
    first, second = calm
    await first.call("tunnel.down", name=TUNNEL)
    assert await kinds(first) == {"simulated", "tunnel-down"}
    assert first.service.status_line.text() == "0 of 1 tunnels up, 1 down"
    status = await first.status()
    assert (status["state"], status["failing"]) == ("down", None)
    assert status["hint"] == f"bring it up: qgw tunnel up {TUNNEL}"

    async def blocked() -> bool:
        return "tunnel-blocked" in await kinds(second)

    await until(blocked, "the peer to hear of it")
    (alert,) = (
        one
        for one in (await second.call("status"))["alerts"]
        if one["kind"] == "tunnel-blocked"
    )
    assert alert["severity"] == "critical"
    assert alert["text"] == "blocked: the peer took the tunnel down"
    assert alert["hint"] == f"at the peer: qgw tunnel up {TUNNEL}"
    assert second.service.status_line.text() == "0 of 1 tunnels up, 1 blocked"


async def test_each_warning_is_an_alert_that_names_its_subject_once(
    calm: Pair,
) -> None:
    first = calm[0]
    await first.call("tunnel.down", name=TUNNEL)
    status = await first.call("status")
    assert f"tunnel {TUNNEL}: down: taken down" in status["warnings"]
    assert len(status["warnings"]) == len(status["alerts"])
    for alert, line in zip(status["alerts"], status["warnings"], strict=True):
        if alert["about"] == "tunnel":
            assert line.count(alert["name"]) == 1
            assert alert["name"] not in alert["text"]


async def test_a_stock_that_runs_dry(file_ends: Pair) -> None:
    first, second = file_ends
    for end in reversed(file_ends):
        await end.start()
        await end.import_keys(range(1, 5))
    await until(lambda: first.in_force() and second.in_force(), "the tunnel", 12.0)
    while (await first.stock())["available"]:
        await rotate(file_ends)
        if (await first.stock())["available"] == 1:
            assert "stock-low" in await kinds(first)
    assert "stock-empty" in await kinds(first)
    (alert,) = (
        one
        for one in (await first.call("status"))["alerts"]
        if one["kind"] == "stock-empty"
    )
    assert (alert["severity"], alert["name"]) == ("critical", LINK)
    # The tunnel is up, and its rotation fails until keys come.
    await first.call("tunnel.rotate", name=TUNNEL)

    async def failing() -> bool:
        return "rotation-fails" in await kinds(first)

    await until(failing, "failed attempts")
    status = await first.status()
    assert status["state"] == "up"
    assert status["failing"]["attempts"] >= 2
    assert status["failing"]["reason"] == "qkd"
    assert f"qgw qkd status {LINK}" in status["hint"]
    for end in file_ends:
        await end.import_keys(range(5, 9))

    async def well() -> bool:
        return "rotation-fails" not in await kinds(first)

    await until(well, "the next epoch")
    assert (await first.status())["failing"] is None


@pytest.fixture
async def sites(short_folder: Path) -> AsyncIterator[KMESites]:
    made = KMESites(short_folder)
    await made.start_kmes()
    yield made
    await made.stop()


async def test_a_kme_that_is_down_and_comes_back(
    sites: KMESites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.observe.kmes.INTERVAL", 0.1)
    await sites.pair.make_keys(2000)
    first, second = sites.ends.values()
    for end in (second, first):
        await end.start()
    await until(lambda: in_force(sites), "the tunnel")
    await until(lambda: stock(first) >= TARGET - 1, "a full stock")
    assert await kinds(first) == set()
    # So full a stock asks for no keys in a long while.
    await sites.stop_kme("a")

    async def says_so() -> bool:
        return "kme" in await kinds(first)

    await until(says_so, "the KME's silence")
    alerts = (await first.call("status"))["alerts"]
    (alert,) = [one for one in alerts if one["kind"] == "kme"]
    assert (alert["severity"], alert["name"]) == ("warning", LINK)
    assert "connection refused" in alert["text"]
    assert alert["hint"]
    assert (await first.status())["state"] == "up"
    await sites.restart_kme("a")

    async def well() -> bool:
        return "kme" not in await kinds(first)

    await until(well, "the KME's return", 30.0)


def with_certificates(folder: Path, *, ca_days: int, days: int) -> tuple[Path, Path]:
    """Write a link's files; return the configuration and our certificate."""
    (folder / "pki").mkdir()
    authority = LaboratoryCA(folder / "pki", days=ca_days)
    ours = authority.issue_sae("gw-a", days=days)
    path = folder / "gateway.toml"
    path.write_text(
        '[gateway]\nidentity = "i"\n[links.fibre]\nsource = "etsi014"\n'
        'kme = "https://kme.example"\nsae_id = "gw-a"\npeer_sae_id = "gw-b"\n'
        f'ca = "{authority.certificate}"\ncertificate = "{ours.certificate}"\n'
        f'private_key = "{ours.private_key}"\n'
    )
    path.chmod(0o600)
    return path, ours.certificate


@pytest.mark.parametrize(
    ("days", "kind", "severity", "text"),
    [
        (31, None, None, ""),
        (29, "certificate-ends", "warning", "our certificate for the KME ends on "),
        (-1, "certificate-ended", "critical", "our certificate for the KME ended on "),
    ],
)
async def test_certificates_that_end(
    tmp_path: Path, days: int, kind: str | None, severity: str | None, text: str
) -> None:
    path, ours = with_certificates(tmp_path, ca_days=400, days=days)
    links = load_config(path).links.values()
    alerts = await Certificates().alerts(links, now=0.0)
    assert [(one["kind"], one["severity"], one["name"]) for one in alerts] == (
        [] if kind is None else [(kind, severity, "fibre")]
    )
    for alert in alerts:
        assert alert["text"].startswith(text)
        assert str(ours) in alert["hint"]


async def test_a_ca_that_ends(tmp_path: Path) -> None:
    path, _ = with_certificates(tmp_path, ca_days=3, days=400)
    (alert,) = await Certificates().alerts(load_config(path).links.values(), now=0.0)
    end = datetime.now(UTC) + timedelta(days=3)
    assert alert["text"].startswith(f"the CA of the KME ends on {end:%Y-%m-%d} ")
    assert alert["text"].endswith(", in 2d23h")
