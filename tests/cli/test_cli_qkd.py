import json

import pytest

from gateway.errors import ControlError
from tests.cli.conftest import StartDaemon, a_link, qgw
from tests.cli.qkd_answers import (
    KME,
    REPORT,
    SUPPLY,
    a_fetch,
    a_qkd_link,
    a_qkd_status,
)


def test_links_are_a_table(start_daemon: StartDaemon) -> None:
    rows = [
        a_qkd_link(),
        a_qkd_link("annex", draws=False, kmes=[KME], tunnels=[]),
        a_qkd_link("old", source="file", kmes=[], stock=a_link("old", alarm="low")),
    ]
    daemon = start_daemon({"qkd.links": rows})
    result = daemon.qgw("qkd", "links")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "LINK   SOURCE   STOCK  AVAILABLE  DRAWN  KME                           TUNNELS"
        "\n"
        f"fibre  etsi014  ok     980        here   {KME} +1  lyon,paris\n"
        f"annex  etsi014  ok     980        peer   {KME}     -\n"
        "old    file     low    980        -      -                             "
        "lyon,paris\n"
    )
    assert daemon.calls == [("qkd.links", {})]
    assert json.loads(daemon.qgw("qkd", "links", "--json").out) == rows


def test_links_with_trouble_say_so_below(start_daemon: StartDaemon) -> None:
    row = a_qkd_link(error=f"{KME}: enc_keys: HTTP 503\x1b[2J")
    result = start_daemon({"qkd.links": [row]}).qgw("qkd", "links")
    assert result.code == 0
    assert result.out.endswith(
        f"\n\nfibre: {KME}: enc_keys: HTTP 503\N{REPLACEMENT CHARACTER}[2J\n"
    )


def test_no_links(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"qkd.links": [], "qkd.status": []})
    assert daemon.qgw("qkd", "links").out == "no links\n"
    assert daemon.qgw("qkd", "status").out == "no links\n"


def test_status_shows_the_store_beside_the_kme(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"qkd.status": [a_qkd_status()]})
    result = daemon.qgw("qkd", "status", "fibre")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "link: fibre\n"
        f"  keys from: ETSI GS QKD 014 at {KME}, site-a with site-b\n"
        "  drawn at: this end\n"
        "  tunnels: lyon, paris\n"
        "  stock: ok\n"
        "  available: 980 of 1000 aimed for, 1 more reserved; 4 not confirmed by the "
        "peer\n"
        "  used: 41, 0 expired or purged\n"
        "  rate: 0.5/s in, 0.00833/s out\n"
        "  empty in: 10h53m by the schedule (0.025/s) if no more come; as measured it "
        "does not fall\n"
        "  at the peer: 976\n"
        "  drawn: 1200 keys in 20 calls\n"
        "  announced: 4 keys that the peer has not answered for\n"
        "  compared: 3m05s ago\n"
        f"  kme: {KME} (KME-A to KME-B)\n"
        "  kme has: 9800 of 10000 it can store\n"
        "  kme's keys: 256 bits, 128 a call at most\n"
        "  our certificate: ends 2027-03-01 12:00 UTC\n"
        "  tls: key exchange X25519MLKEM768\n"
    )
    assert daemon.calls == [("qkd.status", {"link": "fibre"})]
    shown = daemon.qgw("qkd", "status", "--json")
    assert json.loads(shown.out) == [a_qkd_status()]
    assert daemon.calls[-1] == ("qkd.status", {})


def test_status_of_a_dead_kme_is_still_a_status(start_daemon: StartDaemon) -> None:
    status = a_qkd_status(
        kme=None,
        kme_trouble={
            "message": f"{KME}: status: no connection: connection refused",
            "hint": "is it\x07 running?",
            "fault": "unreachable",
        },
        supply=SUPPLY
        | {
            "error": f"{KME}: enc_keys: no connection: connection refused",
            "hint": "see its log",
            "retry_in_s": 12.4,
            "refused": {"same-bytes": 2, "duplicate": 1},
        },
    )
    result = start_daemon({"qkd.status": [status]}).qgw("qkd", "status")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(
        "  refused: duplicate 1, same-bytes 2\n"
        f"  last error: {KME}: enc_keys: no connection: connection refused\n"
        "  hint: see its log\n"
        "  next try: in 12s\n"
        f"  kme error: {KME}: status: no connection: connection refused "
        "(unreachable)\n"
        "  kme hint: is it\N{REPLACEMENT CHARACTER} running?\n"
    )


def test_status_of_the_answering_end(start_daemon: StartDaemon) -> None:
    status = a_qkd_status(
        draws=False,
        unconfirmed=0,
        supply=SUPPLY
        | {"calls": 0, "drawn": 0, "fetched": 1200}
        | {"asks": False, "peer_available": None}
        | {"compared_ago_s": None},
        kme=REPORT
        | {"stored_key_count": None, "source_kme_id": "", "target_kme_id": ""}
        | {"notes": ["does not tell key_size (6.1)"], "certificate_expires": None},
    )
    out = start_daemon({"qkd.status": [status]}).qgw("qkd", "status").out
    assert "  drawn at: the peer's end; fetched here\n" in out
    told = "told to the end that starts handshakes, which is not this one"
    assert f"  at the peer: {told}\n  fetched: 1200 keys\n" in out
    assert f"  kme: {KME}\n  kme has: not told\n" in out
    assert out.endswith(
        "at most\n  tls: key exchange X25519MLKEM768\n"
        "  kme note: does not tell key_size (6.1)\n"
    )
    assert "compared" not in out


def test_status_of_a_link_without_a_kme(start_daemon: StartDaemon) -> None:
    status = a_qkd_status(
        description="SIMULATED",
        supply=None,
        kme=None,
        scheduled_empty_s=None,
        stock=a_link("fibre", source="simulated", reserved=0),
        unconfirmed=0,
        tunnels=[],
    )
    both = [status, a_qkd_status("second")]
    out = start_daemon({"qkd.status": both}).qgw("qkd", "status").out
    first, second = out.split("\n\n")
    assert first == (
        "link: fibre\n"
        "  keys from: SIMULATED\n"
        "  tunnels: none\n"
        "  stock: ok\n"
        "  available: 980\n"
        "  used: 41, 0 expired or purged\n"
        "  rate: 0/s in, 0.00833/s out\n"
        "  empty in: no tunnel uses it; 1d08h as measured"
    )
    assert second.startswith("link: second\n")


def test_a_link_whose_tunnels_are_down(start_daemon: StartDaemon) -> None:
    status = a_qkd_status("fibre", scheduled_empty_s=None, tunnels=["paris"])
    out = start_daemon({"qkd.status": [status]}).qgw("qkd", "status").out
    assert "  empty in: its tunnels are down; " in out


def test_keys_that_nobody_can_be_asked_about(start_daemon: StartDaemon) -> None:
    said = []
    for tunnels in (["paris"], []):
        status = a_qkd_status("fibre", unconfirmed=387, tunnels=tunnels)
        out = start_daemon({"qkd.status": [status]}).qgw("qkd", "status").out
        said += [line for line in out.splitlines() if "not confirmed" in line]
    assert said[0].endswith("; 387 not confirmed by the peer")
    assert said[1].endswith("; 387 not confirmed by the peer, which no tunnel reaches")


def test_fetch(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"qkd.fetch": a_fetch()})
    result = daemon.qgw("qkd", "fetch", "fibre")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "drew 64 keys for link fibre: 1044 available, 64 of them not confirmed by the "
        "peer yet\n"
    )
    daemon.qgw("qkd", "fetch", "fibre", "--count", "64")
    assert [params for _, params in daemon.calls] == [
        {"link": "fibre"},
        {"link": "fibre", "count": 64},
    ]
    shown = daemon.qgw("qkd", "fetch", "fibre", "--json")
    assert (shown.code, json.loads(shown.out)) == (0, a_fetch())


def test_fetch_of_nothing_exits_1(start_daemon: StartDaemon) -> None:
    error = f'{KME}: enc_keys: HTTP 503: "pool" \x1b[1mempty'
    nothing = a_fetch(drawn=0, error=error, hint="wait")
    daemon = start_daemon({"qkd.fetch": nothing})
    result = daemon.qgw("qkd", "fetch", "fibre")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f'qgw: {KME}: enc_keys: HTTP 503: "pool" \N{REPLACEMENT CHARACTER}[1mempty\n'
        "hint: wait\n"
    )
    shown = daemon.qgw("qkd", "fetch", "fibre", "--json")
    assert (shown.code, shown.err, json.loads(shown.out)) == (1, "", nothing)


def test_fetch_of_refused_keys_says_which(start_daemon: StartDaemon) -> None:
    nothing = a_fetch(drawn=0, refused={"short": 64}, error="no key", available=0)
    result = start_daemon({"qkd.fetch": nothing}).qgw("qkd", "fetch", "fibre")
    assert result.code == 1
    assert result.out.endswith("\nrefused: short 64\n")
    assert result.err == "qgw: no key\n"


def test_fetch_of_fewer_exits_6(start_daemon: StartDaemon) -> None:
    some = a_fetch(drawn=1, error=f"{KME}: enc_keys: empty", hint="wait", unconfirmed=0)
    daemon = start_daemon({"qkd.fetch": some})
    result = daemon.qgw("qkd", "fetch", "fibre")
    assert result.code == 6
    assert result.out == "drew 1 key for link fibre: 1044 available\n"
    assert result.err == f"no more came: {KME}: enc_keys: empty\nhint: wait\n"
    assert daemon.qgw("qkd", "fetch", "fibre", "--json").code == 6


@pytest.mark.parametrize("count", ["0", "-1", "many", "10000001"])
def test_a_wrong_count_asks_nobody(count: str) -> None:
    result = qgw("--socket", "/nonexistent", "qkd", "fetch", "a", "--count", count)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("qgw: invalid value for '--count'")
    assert result.err.endswith("hint: see qgw qkd fetch --help\n")


@pytest.mark.parametrize("command", ["status", "fetch"])
def test_an_unknown_link_exits_5(start_daemon: StartDaemon, command: str) -> None:
    error = ControlError("no link named x", "see qgw qkd links", code="not-found")
    daemon = start_daemon({f"qkd.{command}": error})
    result = daemon.qgw("qkd", command, "x")
    assert (result.code, result.out) == (5, "")
    assert result.err == "qgw: no link named x\nhint: see qgw qkd links\n"


@pytest.mark.parametrize("arguments", [["links"], ["status"], ["fetch", "fibre"]])
def test_a_daemon_of_another_version_is_named(
    start_daemon: StartDaemon, arguments: list[str]
) -> None:
    daemon = start_daemon({f"qkd.{arguments[0]}": {"surprise": 1}})
    result = daemon.qgw("qkd", *arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("qgw: the daemon's answer is not what was asked for\n")
