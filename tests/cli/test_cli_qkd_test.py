"""``qgw qkd test``: through a daemon, and without one against real KMEs."""

import asyncio
import json
import re
import ssl
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import pytest
from doubles.kme_pair import KMEPair

from gateway.control.qkd_schema import QKDFinding, QKDTestResult
from gateway.errors import ControlError
from tests.cli.conftest import Outcome, StartDaemon, qgw
from tests.cli.qkd_answers import KME

T = TypeVar("T")


def a_finding(step: str, grade: str, text: str, hint: str = "") -> QKDFinding:
    source = "" if step in ("files", "identity") else KME
    finding = {"source": source, "step": step, "grade": grade}
    return cast("QKDFinding", finding | {"text": text, "hint": hint})


FINDINGS = [
    a_finding("files", "ok", "our certificate is valid"),
    a_finding("identity", "warning", "it says x\x1b[2J", "set sae_id"),
    a_finding("name", "ok", "192.0.2.7"),
]
FAILED = a_finding("connection", "failed", "no TCP connection", "check\x07 it")


def a_result(*findings: QKDFinding, complete: bool = True) -> QKDTestResult:
    is_ok = complete and all(one["grade"] != "failed" for one in findings)
    return QKDTestResult(
        link="fibre", ok=is_ok, complete=complete, findings=list(findings)
    )


def test_findings_stand_under_what_they_are_about(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"qkd.test": a_result(*FINDINGS)})
    result = daemon.qgw("qkd", "test", "fibre")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "link fibre\n"
        "  ok       files        our certificate is valid\n"
        "  warning  identity     it says x\N{REPLACEMENT CHARACTER}[2J\n"
        "                        hint: set sae_id\n"
        f"{KME}\n"
        "  ok       name         192.0.2.7\n"
    )
    assert daemon.calls == [("qkd.test", {"link": "fibre", "draw": False})]
    daemon.qgw("qkd", "test", "fibre", "--draw")
    assert daemon.calls[-1] == ("qkd.test", {"link": "fibre", "draw": True})
    shown = daemon.qgw("qkd", "test", "fibre", "--json")
    assert (shown.code, json.loads(shown.out)) == (0, a_result(*FINDINGS))


def test_a_failed_step_exits_1(start_daemon: StartDaemon) -> None:
    failed = a_result(*FINDINGS, FAILED)
    daemon = start_daemon({"qkd.test": failed})
    result = daemon.qgw("qkd", "test", "fibre")
    assert result.code == 1
    assert result.out.endswith(
        "  failed   connection   no TCP connection\n"
        "                        hint: check\N{REPLACEMENT CHARACTER} it\n"
    )
    assert result.err == (
        "qgw: link fibre: 1 step failed\nhint: docs/qkd.md explains each step\n"
    )
    shown = daemon.qgw("qkd", "test", "fibre", "--json")
    assert (shown.code, shown.err, json.loads(shown.out)) == (1, "", failed)


def test_half_a_test_exits_1(start_daemon: StartDaemon) -> None:
    half = a_result(*FINDINGS, complete=False)
    result = start_daemon({"qkd.test": half}).qgw("qkd", "test", "fibre")
    assert result.code == 1
    assert result.err == (
        "qgw: link fibre: there was no time for all steps\n"
        "hint: without a limit: qgw qkd test fibre --local\n"
    )


def test_without_a_daemon_it_names_the_other_way() -> None:
    result = qgw("--socket", "/nonexistent", "qkd", "test", "fibre")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        "qgw: qgwd is not running: nothing listens at /nonexistent\n"
        "hint: start it, or try the KME without it: qgw qkd test fibre --local\n"
    )


def test_an_unknown_link_exits_5(start_daemon: StartDaemon) -> None:
    error = ControlError("no link named x", "see qgw qkd links", code="not-found")
    result = start_daemon({"qkd.test": error}).qgw("qkd", "test", "x")
    assert result.code == 5
    assert result.err == "qgw: no link named x\nhint: see qgw qkd links\n"


@pytest.mark.parametrize("options", [["--draw"], ["--local"], []])
def test_a_peers_file_is_for_a_key_drawn_here(options: list[str]) -> None:
    result = qgw("qkd", "test", "fibre", "--peer-config", "x", *options)
    assert result.code == 2
    assert result.err == (
        "qgw: --peer-config needs --local and --draw\nhint: see qgw qkd test --help\n"
    )


# -- Without a daemon


class Laboratory:
    """Two KMEs that run in a thread, and a gateway's configuration for each."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._folder = folder
        self.pair = KMEPair(folder / "kme")
        self.run(self.pair.__aenter__())
        self.run(self.pair.make_keys(100))

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(15)

    def stop(self) -> None:
        self.run(self.pair.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def config(self, letter: str, **changes: str) -> Path:
        """Write the configuration of a site."""
        url = (self.pair.alice if letter == "a" else self.pair.bob).url
        ours = self.pair.credentials[f"gw-{letter}"]
        keys = {
            "source": "etsi014",
            "kme": url,
            "sae_id": f"gw-{letter}",
            "peer_sae_id": "gw-b" if letter == "a" else "gw-a",
            "ca": str(self.pair.ca),
            "certificate": str(ours.certificate),
            "private_key": str(ours.private_key),
            **changes,
        }
        path = self._folder / f"{letter}.toml"
        path.touch(mode=0o600)
        lines = [f'{key} = "{value}"' for key, value in keys.items()]
        path.write_text(
            '[gateway]\nidentity = "absent"\n[links.fibre]\n' + "\n".join(lines) + "\n"
        )
        return path

    def test(self, config: Path, *options: str) -> Outcome:
        return qgw("--config", str(config), "qkd", "test", "fibre", "--local", *options)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    made = Laboratory(tmp_path_factory.mktemp("lab"))
    yield made
    made.stop()


def steps(out: str) -> list[tuple[str, str]]:
    """Return grade and step of each line that has them."""
    return re.findall(r"^  (ok|warning|failed) +([a-z]+)  ", out, re.MULTILINE)


def test_a_kme_in_order(laboratory: Laboratory) -> None:
    result = laboratory.test(laboratory.config("a"))
    assert (result.code, result.err) == (0, ""), result.out
    lines = result.out.splitlines()
    assert lines[0] == "link fibre"
    assert laboratory.pair.alice.url in lines
    found = steps(result.out)
    # Older OpenSSL agrees on a classical group, which is worth a warning.
    newest = ssl.OPENSSL_VERSION_INFO >= (3, 5)
    assert ("warning", "tls") in found or newest
    assert {grade for grade, step in found if step != "tls"} == {"ok"}
    in_order = ["files", "identity", "name", "connection", "tls", "certificate"]
    in_order += ["access", "status", "limits"]
    assert list(dict.fromkeys(step for _, step in found)) == in_order


def test_a_key_drawn_is_the_same_at_the_peer(laboratory: Laboratory) -> None:
    ours, theirs = laboratory.config("a"), laboratory.config("b")
    result = laboratory.test(ours, "--draw", "--peer-config", str(theirs))
    assert (result.code, result.err) == (0, "")
    assert steps(result.out)[-2:] == [("ok", "draw"), ("ok", "peer")]
    assert "is used up by this\n" in result.out
    only_drawn = laboratory.test(ours, "--draw", "--json")
    report = json.loads(only_drawn.out)
    assert (report["ok"], report["complete"]) == (True, True)
    assert report["findings"][-1]["step"] == "draw"


def test_another_sae_is_not_let_in(laboratory: Laboratory) -> None:
    result = laboratory.test(laboratory.config("a", peer_sae_id="gw-x"))
    assert result.code == 1
    assert steps(result.out)[-1] == ("failed", "access")
    assert result.err == (
        "qgw: link fibre: 1 step failed\nhint: docs/qkd.md explains each step\n"
    )


def test_a_ca_that_did_not_sign_the_kmes_certificate(laboratory: Laboratory) -> None:
    other = laboratory.pair.credentials["gw-b"].certificate
    result = laboratory.test(laboratory.config("a", ca=str(other)))
    assert result.code == 1
    assert steps(result.out)[-1] == ("failed", "certificate")
    assert "the KME's certificate is from an unknown CA" in result.out


def test_a_certificate_of_somebody_else(laboratory: Laboratory) -> None:
    other = laboratory.pair.credentials["gw-b"].certificate
    result = laboratory.test(laboratory.config("a", certificate=str(other)))
    assert result.code == 1
    assert steps(result.out) == [("failed", "files")]
    assert "is not the private key of" in result.out


def test_an_address_where_nobody_listens(laboratory: Laboratory) -> None:
    result = laboratory.test(laboratory.config("a", kme="https://127.0.0.1:1"))
    assert result.code == 1
    assert steps(result.out)[-1] == ("failed", "connection")


def test_no_such_link_here(laboratory: Laboratory) -> None:
    config = laboratory.config("a")
    result = qgw("--config", str(config), "qkd", "test", "copper", "--local")
    assert (result.code, result.out) == (5, "")
    assert result.err == (
        f"qgw: no link named copper is configured in {config}\nhint: it has: fibre\n"
    )


def test_a_link_that_has_no_kme(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.touch(mode=0o600)
    path.write_text('[gateway]\nidentity = "i"\n[links.fibre]\nsource = "file"\n')
    result = qgw("--config", str(path), "qkd", "test", "fibre", "--local")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "qgw: link fibre has no KME: its source is file\n"
        "hint: keys of a file: qgw keystore import --link fibre FILE\n"
    )


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    result = qgw("--config", str(path), "qkd", "test", "fibre", "--local")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "qgw: 1 problem in the configuration\n"
        "hint: correct them and run: qgw config check\n"
    )


def test_no_key_is_shown(laboratory: Laboratory) -> None:
    private = laboratory.pair.credentials["gw-a"].private_key.read_text()
    result = laboratory.test(laboratory.config("a"), "--draw", "--json")
    assert result.code == 0
    assert private.splitlines()[1] not in result.out
    # 256 bits in base64, or in hexadecimal.
    assert not re.search(r"[A-Za-z0-9+/]{43}=|[0-9a-f]{64}", result.out)
