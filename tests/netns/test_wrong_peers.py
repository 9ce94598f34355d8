"""A peer with another fingerprint, suite, policy, name: each end says which."""

from lab.netns import Namespace

from gateway.config.identity_files import write_public_identity
from gateway.crypto.identity import (
    encode_public,
    format_fingerprint,
    generate_identity,
)
from tests.netns.labs import (
    TUNNEL,
    Gateway,
    Lab,
    edit,
    failure,
    make_lab,
    qgw,
    status,
    unstarted,
    until,
)


def start(lab: Lab) -> None:
    for end in reversed(lab.ends):
        end.start()
    for end in lab.ends:
        end.wait_ready()


def blocked(lab: Lab) -> None:
    """Nothing passes, and both ends say that it does not."""
    for end in lab.ends:
        assert end.tunnel()["state"] in ("connecting", "down", "blocked")
    assert not lab.ping(0, count=1)


def warnings(end: Gateway) -> str:
    return "\n".join(status(end)["warnings"])


def swap_peer(end: Gateway) -> str:
    """Pin somebody else; return the fingerprint."""
    stranger = generate_identity(1).public
    (end.folder / "peer.pub").unlink()
    write_public_identity(end.folder / "peer.pub", encode_public(stranger))
    return format_fingerprint(stranger.fingerprint)


def test_the_responder_pins_somebody_else(lab: Lab) -> None:
    pinned = swap_peer(lab.b)
    start(lab)
    own = status(lab.a)["identity"]["fingerprint"]
    until(lambda: f"unknown peer {own} at 192.0.2.1" in warnings(lab.b), "the stranger")
    assert lab.b.tunnel()["peer"] == pinned
    until(lambda: failure(lab.a), "the failure", 15.0)
    found = lab.a.tunnel()
    assert found["last_failure"]["reason"] == "timeout"
    assert "fingerprints" in found["hint"]
    shown = qgw(lab.a, "tunnel", "show", TUNNEL).stdout
    assert "check that qgwd runs at the peer" in shown
    blocked(lab)


def test_the_initiator_pins_somebody_else(lab: Lab) -> None:
    pinned = swap_peer(lab.a)
    start(lab)
    until(lambda: status(lab.b)["dropped"].get("mac1"), "the drops")
    until(lambda: failure(lab.a), "the failure", 15.0)
    found = lab.a.tunnel()
    assert found["peer"] == pinned
    assert "fingerprints" in found["hint"]
    blocked(lab)


def test_suites_differ(lab: Lab) -> None:
    for end in lab.ends:
        (end.folder / "peer.pub").unlink()
        other = generate_identity(2).public
        write_public_identity(end.folder / "peer.pub", encode_public(other))
    start(lab)
    for end in lab.ends:
        found = unstarted(end)
        assert "an identity of suite 2, and ours is of suite 1" in found["reason"]
        assert "qgw identity new --suite" in found["hint"]
    blocked(lab)


def test_policies_exclude_each_other(lab: Lab) -> None:
    edit(lab.a, "^qkd = .*", 'qkd = "off"')
    start(lab)
    for end, ours, theirs in ((lab.a, "off", "required"), (lab.b, "required", "off")):
        until(lambda end=end: failure(end), "the refusal")  # type: ignore[misc]
        assert failure(end) == (
            f"QKD policies exclude each other: here {ours}, peer {theirs}"
        )
    blocked(lab)


def test_names_differ(lab: Lab) -> None:
    edit(lab.b, rf"^\[tunnels\.{TUNNEL}\]", "[tunnels.other]")
    start(lab)
    until(lambda: failure(lab.a), "the refusal")
    assert failure(lab.a) == f"one end has no tunnel named {TUNNEL} with the other"
    own = status(lab.a)["identity"]["fingerprint"]
    said = f"peer {own} asks for tunnel {TUNNEL}, which is not configured with it"
    assert said in warnings(lab.b)
    assert said in " ".join(qgw(lab.b, "status").stdout.split())


def test_one_end_has_a_psk(lab: Lab) -> None:
    psk = lab.a.folder / "psk"
    psk.touch(mode=0o600)
    psk.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    edit(lab.a, "^qkd = .*", 'qkd = "required"\npsk = "psk"')
    start(lab)
    for end, where in ((lab.a, "here"), (lab.b, "at the peer")):
        until(lambda end=end: failure(end), "the refusal")  # type: ignore[misc]
        assert failure(end) == f"a static PSK is configured only {where}"
    blocked(lab)


def test_psks_differ(lab: Lab) -> None:
    for end, first in zip(lab.ends, "AB", strict=True):
        psk = end.folder / "psk"
        psk.touch(mode=0o600)
        psk.write_text(f"{first}AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
        edit(end, "^qkd = .*", 'qkd = "required"\npsk = "psk"')
    start(lab)
    until(lambda: failure(lab.a), "the failure", 15.0)
    found = lab.a.tunnel()
    assert found["last_failure"]["reason"] == "symmetric"
    assert "PSK" in found["hint"]
    blocked(lab)


def test_both_are_initiators(lab: Lab) -> None:
    edit(lab.b, "^role = .*", 'role = "initiator"')
    start(lab)
    for end in lab.ends:
        until(lambda end=end: failure(end), "the refusal")  # type: ignore[misc]
        assert "both ends are initiators" in failure(end)
    blocked(lab)


def test_both_are_responders(lab: Lab) -> None:
    edit(lab.a, "^role = .*", 'role = "responder"')
    start(lab)
    for end in lab.ends:
        assert end.tunnel()["state"] == "connecting"
        assert end.tunnel()["role"] == "responder"
    blocked(lab)


def test_intervals_differ_and_it_works_but_is_shown(
    pair: tuple[Namespace, Namespace],
) -> None:
    with make_lab(pair) as lab:
        edit(lab.b, "^rotation_interval = .*", "rotation_interval = 3")
        lab.start()
        for end, here, there in ((lab.a, "2", "3"), (lab.b, "3", "2")):
            said = f"rotation_interval differs: here {here} s, peer {there} s; "
            assert end.tunnel()["faults"] == [said + "the initiator's counts"]
