"""The diagnosis says which of all that can be wrong is."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.config.model import LinkConfig, LinkSource
from gateway.sources.diagnosis.findings import Grade, Step, TrialFinding
from gateway.sources.diagnosis.trial import diagnose
from tests.unit.sources.alerting import AlertingServer
from tests.unit.sources.certificates import Authority, Files
from tests.unit.sources.conftest import OURS, PEERS, MakeKME, MakeLink
from tests.unit.sources.hostile import HostileKME, container, reply
from tests.unit.sources.leaks import shown_parts
from tests.unit.sources.test_skip import KeyProvider

YEAR = timedelta(365)


async def findings_of(
    link: LinkConfig,
    *,
    draw: bool = False,
    peer_link: LinkConfig | None = None,
    now: datetime | None = None,
) -> list[TrialFinding]:
    return [
        finding
        async for finding in diagnose(link, draw=draw, peer_link=peer_link, now=now)
    ]


async def failure_in(link: LinkConfig) -> TrialFinding:
    """The one failed finding, which must be the last, and give a hint."""
    found = await findings_of(link)
    assert [f.grade for f in found].count(Grade.FAILED) == 1
    assert found[-1].grade is Grade.FAILED
    assert found[-1].hint
    return found[-1]


async def test_all_is_well(kme: HostileKME, make_link: MakeLink) -> None:
    found = await findings_of(make_link(kme))
    exchange = found[5]
    assert "MLKEM" in exchange.text or "classical" in exchange.text
    others = [finding for finding in found if finding is not exchange]
    assert {finding.grade for finding in others} == {Grade.OK}
    assert [finding.step for finding in found] == [
        Step.FILES,
        Step.IDENTITY,
        Step.NAME,
        Step.CONNECTION,
        Step.TLS,
        Step.TLS,
        Step.CERTIFICATE,
        Step.ACCESS,
        Step.STATUS,
        Step.LIMITS,
        Step.LIMITS,
    ]
    texts = {finding.step: finding.text for finding in others}
    assert texts[Step.TLS].startswith("TLSv1.3")
    assert "kme-redu to kme-betzdorf" in texts[Step.ACCESS]
    assert texts[Step.LIMITS] == "25000 keys in stock of at most 100000"
    assert {finding.source for finding in found[2:]} == {kme.url}
    assert not kme.calls("enc_keys")


async def test_every_kme_is_looked_at(
    kme: HostileKME, make_kme: MakeKME, make_link: MakeLink
) -> None:
    second = await make_kme()
    found = await findings_of(make_link("https://kme.invalid:1", second))
    assert [f.step for f in found if f.grade is Grade.FAILED] == [Step.NAME]
    assert found[-1].source == second.url


async def test_drawn_key_is_compared_with_the_peers(
    kme: HostileKME, make_kme: MakeKME, make_link: MakeLink
) -> None:
    theirs = await make_kme()
    link, peer_link = make_link(kme), make_link(theirs)
    key_id, key = kme.new_key()
    kme.replies["enc_keys"] = [reply(container([(key_id, key)]))]
    theirs.pool[key_id] = key
    found = await findings_of(link, draw=True, peer_link=peer_link)
    assert [(f.step, f.grade) for f in found[-2:]] == [
        (Step.DRAW, Grade.OK),
        (Step.PEER, Grade.OK),
    ]
    assert "used up" in found[-2].text
    assert not shown_parts(repr(found), kme.made)
    # Once more: it has been fetched there.
    found = await findings_of(link, draw=True, peer_link=peer_link)
    assert found[-1].grade is Grade.FAILED
    assert "does not hold" in found[-1].text
    theirs.pool[key_id] = theirs.new_key()[1]
    found = await findings_of(link, draw=True, peer_link=peer_link)
    assert "different keys" in found[-1].text
    await theirs.stop()
    found = await findings_of(link, draw=True, peer_link=peer_link)
    assert (found[-1].step, found[-1].grade) == (Step.PEER, Grade.FAILED)


async def test_draw_without_peer(kme: HostileKME, make_link: MakeLink) -> None:
    found = await findings_of(make_link(kme), draw=True)
    assert (found[-1].step, found[-1].grade) == (Step.DRAW, Grade.OK)
    assert len(kme.calls("enc_keys")) == 1


async def test_draw_of_a_bad_key(kme: HostileKME, make_link: MakeLink) -> None:
    key_id, _key = kme.new_key()
    kme.replies["enc_keys"] = [reply(container([(key_id, b"short")]))]
    found = await findings_of(make_link(kme), draw=True)
    assert found[-1].grade is Grade.FAILED
    assert "short" in found[-1].text
    kme.replies["enc_keys"] = [reply({"message": "no keys"}, 503)]
    found = await findings_of(make_link(kme), draw=True)
    assert (found[-1].step, found[-1].grade) == (Step.DRAW, Grade.FAILED)
    assert found[-1].text.startswith('enc_keys: HTTP 503: "no keys"')


# The way


async def test_no_name(make_link: MakeLink) -> None:
    assert (await failure_in(make_link("https://kme.invalid"))).step is Step.NAME


async def test_no_port(make_link: MakeLink) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        finding = await failure_in(make_link(f"https://127.0.0.1:{port}"))
    assert finding.step is Step.CONNECTION
    assert "connection refused" in finding.text


async def test_no_tls(make_link: MakeLink) -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    finding = await failure_in(make_link(f"https://127.0.0.1:{port}"))
    server.close()
    assert finding.step is Step.TLS
    assert "does not speak TLS" in finding.text


async def test_old_tls(make_link: MakeLink, server_files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(server_files.certificate, server_files.private_key)
    with AlertingServer(context) as server:
        finding = await failure_in(make_link(server.url))
    assert finding.step is Step.TLS
    assert "1.2 or later" in finding.text


SERVERS: dict[str, tuple[dict[str, object], str]] = {
    "expired": ({"start": -2 * YEAR, "end": -YEAR}, "has expired"),
    "not valid yet": ({"start": YEAR, "end": 2 * YEAR}, "is not valid yet"),
    "wrong name": ({"names": ("kme.example",)}, "it is for kme.example"),
    "common name only": ({"stem": "127.0.0.1", "names": ()}, "it is for no name"),
}


@pytest.mark.parametrize("name", SERVERS)
async def test_wrong_server_certificate(
    tmp_path: Path, make_kme: MakeKME, make_link: MakeLink, name: str
) -> None:
    options, text = SERVERS[name]
    issuer = Authority(tmp_path, "issuer of this one")
    kme = await make_kme(issuer.server(**options))  # type: ignore[arg-type]  # as above
    finding = await failure_in(make_link(kme, ca=issuer.ca))
    assert finding.step is Step.CERTIFICATE
    assert text in finding.text
    assert "issuer CN=issuer of this one" in finding.text
    assert "valid from 20" in finding.text
    assert not kme.asked


async def test_unknown_ca(
    stranger: Authority, make_kme: MakeKME, make_link: MakeLink
) -> None:
    kme = await make_kme(stranger.server("stranger"))
    finding = await failure_in(make_link(kme))
    assert finding.step is Step.CERTIFICATE
    assert "unknown CA" in finding.text
    assert "issuer CN=another CA" in finding.text


async def test_server_certificate_that_ends_soon(
    authority: Authority, make_kme: MakeKME, make_link: MakeLink
) -> None:
    kme = await make_kme(authority.server("soon", end=timedelta(10)))
    found = await findings_of(make_link(kme))
    (finding,) = [f for f in found if f.step is Step.CERTIFICATE]
    assert finding.grade is Grade.WARNING


# Our files


async def test_no_key_file(kme: HostileKME, make_link: MakeLink) -> None:
    link = make_link(kme, private_key=Path("/nonexistent/our.key"))
    finding = await failure_in(link)
    assert finding.step is Step.FILES
    assert kme.connections == 0


async def test_key_of_another_certificate(
    kme: HostileKME, make_link: MakeLink, server_files: Files
) -> None:
    finding = await failure_in(make_link(kme, private_key=server_files.private_key))
    assert finding.step is Step.FILES
    assert "is not the private key of" in finding.text


@pytest.mark.parametrize(
    ("days", "grade", "text"),
    [
        (-100, Grade.OK, "is valid until"),
        (-20, Grade.WARNING, "ends in 19 days"),
        (1, Grade.FAILED, "expired on"),
        (-2000, Grade.FAILED, "is not valid before"),
    ],
)
async def test_end_of_our_certificate(
    kme: HostileKME, make_link: MakeLink, days: int, grade: Grade, text: str
) -> None:
    end = datetime.now(UTC) + timedelta(365)
    found = await findings_of(make_link(kme), now=end + timedelta(days))
    assert found[0].grade is grade
    assert text in found[0].text


async def test_ca_that_has_expired(kme: HostileKME, make_link: MakeLink) -> None:
    later = datetime.now(UTC) + timedelta(4000)
    found = await findings_of(make_link(kme), now=later)
    assert found[1].grade is Grade.WARNING
    assert "the CA CN=test CA expired on" in found[1].text


@pytest.mark.parametrize(
    ("sae_id", "grade"), [(OURS, Grade.OK), ("sae-x", Grade.WARNING)]
)
async def test_sae_id_of_our_certificate(
    kme: HostileKME, make_link: MakeLink, sae_id: str, grade: Grade
) -> None:
    found = await findings_of(make_link(kme, sae_id=sae_id))
    (finding,) = [f for f in found if f.step is Step.IDENTITY]
    assert finding.grade is grade
    assert OURS in finding.text


@pytest.fixture
def demanding(server_files: Files, authority: Authority) -> Iterator[AlertingServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_files.certificate, server_files.private_key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    with AlertingServer(context) as server:
        yield server


async def test_our_certificate_is_refused(
    demanding: AlertingServer, make_link: MakeLink, stranger: Authority
) -> None:
    """With TLS 1.3 that shows only once something is asked."""
    theirs = stranger.client(OURS, stem=f"diagnosed{demanding.port}")
    link = make_link(
        demanding.url, certificate=theirs.certificate, private_key=theirs.private_key
    )
    finding = await failure_in(link)
    assert finding.step in {Step.TLS, Step.ACCESS}
    assert "does not know the CA of our certificate" in finding.text


# What it serves


@pytest.mark.parametrize("status", [401, 403])
async def test_not_let_in(kme: HostileKME, make_link: MakeLink, status: int) -> None:
    kme.replies["status"] = [reply(b"", status)]
    finding = await failure_in(make_link(kme))
    assert finding.step is Step.ACCESS
    assert finding.text == f"status: HTTP {status}"
    assert "sae_id and peer_sae_id" in finding.hint


@pytest.mark.parametrize("odd", ["none", "broken", "zero"])
async def test_without_a_good_status_the_test_goes_on(
    kme: HostileKME, make_link: MakeLink, odd: str
) -> None:
    if odd == "none":
        kme.replies["status"] = [reply({"detail": "Not Found"}, 404)]
    elif odd == "broken":
        kme.status = {"key_size": "256"}
    else:
        kme.status = {"target_KME_ID": 0}
    found = [one async for one in diagnose(make_link(kme))]
    drawn = [one async for one in diagnose(make_link(kme), draw=True)]
    assert not [one for one in (*found, *drawn) if one.grade is Grade.FAILED]
    assert [one for one in found if one.grade is Grade.WARNING]
    assert drawn[-1].step is Step.DRAW


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"detail": "Not Found"}),
        (400, {"message": "invalid key"}),
        (400, {"error": "no"}),
        (401, {"message": "Unauthorized"}),
        (403, {}),
        (409, {"title": "Conflict"}),
        (503, {"message": "Error on server side"}),
    ],
)
async def test_what_a_kme_says_of_an_unknown_key_does_not_matter(
    kme: HostileKME, make_link: MakeLink, status: int, body: dict[str, str]
) -> None:
    kme.replies["status"] = [reply({"detail": "Not Found"}, 404)]
    kme.replies["dec_keys"] = [reply(body, status)]
    found = [one async for one in diagnose(make_link(kme))]
    assert found[-1].grade is Grade.WARNING
    assert "the KME tells no status that can be used" in found[-1].text


@pytest.mark.parametrize("status", [400, 401, 404, 503])
@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"404 page not found\n",
        b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>",
        b"<html><body><h1>Error</h1><p>key not found</p></body></html>",
        b'"key not found"',
        b"[]",
    ],
)
async def test_what_is_no_kme_at_all_fails(
    kme: HostileKME, make_link: MakeLink, page: bytes, status: int
) -> None:
    kme.replies["status"] = [reply(page, 404)]
    kme.replies["dec_keys"] = [reply(page, status)]
    found = [one async for one in diagnose(make_link(kme))]
    assert found[-1].grade is Grade.FAILED
    assert found[-1].text.startswith("status: HTTP 404")


@pytest.mark.parametrize("byte", [0x00, 0xFF])
async def test_a_dead_source_of_keys_is_found(
    kme: HostileKME, make_link: MakeLink, byte: int
) -> None:
    key_id, _ = kme.new_key()
    kme.replies["enc_keys"] = [reply(container([(key_id, bytes([byte]) * 32)]))]
    found = await findings_of(make_link(kme), draw=True)
    assert (found[-1].step, found[-1].grade) == (Step.DRAW, Grade.FAILED)
    assert "32 equal bytes" in found[-1].text
    assert "vendor" in found[-1].hint


async def test_oddities_of_the_status(kme: HostileKME, make_link: MakeLink) -> None:
    kme.status = {
        "slave_SAE_ID": "sae-mallory",
        "key_size": 128,
        "stored_key_count": 0,
        "max_key_per_request": 10,
    }
    found = await findings_of(make_link(kme))
    odd = [f for f in found if f.grade is Grade.WARNING and f.step is not Step.TLS]
    assert [finding.step for finding in odd] == [Step.STATUS, Step.LIMITS, Step.LIMITS]
    assert f"it should be {PEERS}" in odd[0].text
    assert "default is 128 bits" in odd[1].text
    assert "no key for us now" in odd[2].text
    assert "its limit is kept to" in found[-1].text


async def test_skip(kme: HostileKME, make_link: MakeLink) -> None:
    KeyProvider(kme)
    found = await findings_of(make_link(kme, source=LinkSource.SKIP), draw=True)
    others = [finding for finding in found if "key exchange" not in finding.text]
    assert {finding.grade for finding in others} == {Grade.OK}
    assert found[-1].step is Step.DRAW


async def test_link_without_kme(make_link: MakeLink) -> None:
    with pytest.raises(ValueError, match="has no KME"):
        await findings_of(replace(make_link(), kme=None))
