"""Files of a gateway that are removed, replaced or wrong, and refused reloads."""

import base64

from gateway.config.identity_files import (
    write_private_identity,
    write_public_identity,
)
from gateway.crypto.identity import encode_private, encode_public, generate_identity
from tests.meddle.judge import NOTICED
from tests.meddle.kind import ALL, FLOWS, RESTARTED, Phase, Spot, Steps, kind


def _refused(at: Spot, text: str) -> Steps:
    at.file.write_text(text)
    at.refused()
    yield FLOWS
    at.reset()


@kind()
def configuration_is_no_toml(at: Spot) -> Steps:
    """A slip of the keyboard."""
    yield from _refused(at, at.file.text + "\n[tunnels")


@kind()
def configuration_has_an_unknown_key(at: Spot) -> Steps:
    """A misspelt one."""
    yield from _refused(at, at.file.text.replace("endpoint =", "endpiont ="))


@kind()
def configuration_is_empty(at: Spot) -> Steps:
    """A full disk."""
    yield from _refused(at, "")


@kind()
def configuration_names_a_plane_that_is_not_here(at: Spot) -> Steps:
    """One that this kernel lacks, or does not exist."""
    missing = at.lab.missing_plane
    old = f'plane = "{at.lab.plane}"'
    assert old in at.file.text
    yield from _refused(at, at.file.text.replace(old, f'plane = "{missing}"'))


@kind()
def configuration_is_removed(at: Spot) -> Steps:
    """The file itself."""
    (at.end.folder / "gateway.toml").unlink()
    at.refused()
    yield FLOWS
    at.reset()


@kind()
def peer_file_removed(at: Spot) -> Steps:
    """A reload is refused; what runs goes on."""
    path = at.end.folder / "peer.pub"
    kept = path.read_bytes()
    path.unlink()
    at.refused()
    yield FLOWS
    path.write_bytes(kept)
    at.reload()


@kind(seconds=12.0)
def peer_file_replaced(at: Spot) -> Steps:
    """By another identity: the old one does not get through any more."""
    path = at.end.folder / "peer.pub"
    kept = path.read_bytes()
    path.unlink()
    write_public_identity(path, encode_public(generate_identity(1).public))
    said = at.reload()
    assert said["changed"], said
    yield Phase(lasts=NOTICED, not_up="ab")
    path.unlink()
    path.write_bytes(kept)
    at.reload()


@kind(seconds=5.0, last_word=True)
def peer_file_missing_at_start(at: Spot) -> Steps:
    """The tunnel cannot start: blocked, until the file is there."""
    path = at.end.folder / "peer.pub"
    kept = path.read_bytes()
    at.end.kill()
    path.unlink()
    at.end_carriers()
    at.end.start()
    yield Phase(lasts=1.5)
    path.write_bytes(kept)
    at.end.kill()
    at.end.start()
    at.end.wait_ready()
    yield RESTARTED


@kind(seconds=5.0)
def identity_replaced(at: Spot) -> Steps:
    """Our own: the peer is given the new public half."""
    own = at.end.folder / "identity"
    theirs = at.far().end.folder / "peer.pub"
    kept, known = own.read_bytes(), theirs.read_bytes()
    new = generate_identity(1)
    for path in (own, theirs):
        path.unlink()
    write_private_identity(own, encode_private(new))
    write_public_identity(theirs, encode_public(new.public))
    for spot in at.both():
        said = spot.reload()
        assert said["changed"], said
    yield Phase(ALL)
    own.write_bytes(kept)
    theirs.write_bytes(known)
    for spot in at.both():
        spot.reload()


@kind()
def psk_appears_and_goes(at: Spot) -> Steps:
    """At both ends, one after the other."""
    psk = base64.b64encode(at.chance.randbytes(32)).decode()
    for spot in at.both():
        path = spot.end.folder / "static.psk"
        path.touch(mode=0o600)
        path.write_text(psk + "\n")
        spot.rewrite(psk="static.psk")
    yield FLOWS
    for spot in at.both():
        spot.rewrite(psk=None)


@kind()
def psk_file_changes(at: Spot) -> Steps:
    """Its content, under the same name."""
    for _ in range(2):
        psk = base64.b64encode(at.chance.randbytes(32)).decode()
        for spot in at.both():
            path = spot.end.folder / "static.psk"
            path.touch(mode=0o600)
            path.write_text(psk + "\n")
            spot.rewrite(psk="static.psk")
        yield FLOWS
    for spot in at.both():
        spot.rewrite(psk=None)
