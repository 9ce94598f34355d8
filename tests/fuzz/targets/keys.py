"""Files that hold identities and keys: ours, a peer's, a key-fill device's."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from gateway.config.identity_files import (
    load_identity,
    load_private_identity,
    load_psk,
    load_public_identity,
)
from gateway.config.private_files import read_private_file
from gateway.crypto.identity import (
    encode_private,
    encode_public,
    format_fingerprint,
    parse_fingerprint,
    parse_public,
)
from gateway.errors import GatewayError, IdentityError, KeyFileError, KeyStoreError
from gateway.keystore.base import KEY_SIZE
from gateway.keystore.container import parse_container
from gateway.keystore.master_key import load_master_key
from gateway.sources.simulated.seed import load_seed
from tests.fuzz.target import Target, scratch
from tests.unit.handshake.pair import identity


def path() -> Path:
    """Name the file that holds the input."""
    return scratch() / "file"


def read_private() -> None:
    private = load_private_identity(path())
    text = encode_private(private)
    assert len(text) > 100
    assert text not in repr(private)


def read_public() -> None:
    public = load_public_identity(path())
    assert parse_public(encode_public(public, "x")) == public
    shown = format_fingerprint(public.fingerprint)
    assert parse_fingerprint(shown) == public.fingerprint


def read_either() -> None:
    kind, public = load_identity(path())
    assert kind in ("private", "public")
    assert len(public.fingerprint) == 25


def read_container() -> None:
    """Take keys of the right size, each once; name the others by place or key_ID."""
    container = parse_container(read_private_file(path(), MAX_SIZE))
    taken = [key.key_id for key in container.keys]
    assert len(set(taken)) == len(taken)
    assert all(len(key.key.expose()) == KEY_SIZE for key in container.keys)
    for refused in container.refused:
        if not refused.key_id.startswith("keys["):
            assert str(UUID(refused.key_id)) == refused.key_id


def read_fingerprint() -> None:
    text = read_private_file(path(), MAX_SIZE).decode("latin-1")
    assert len(parse_fingerprint(text)) == 25


READERS: tuple[tuple[Callable[[], object], type[GatewayError]], ...] = (
    (read_private, IdentityError),
    (read_public, IdentityError),
    (read_either, IdentityError),
    (lambda: load_psk(path()), IdentityError),
    (read_fingerprint, IdentityError),
    (read_container, KeyFileError),
    (lambda: load_master_key(path(), {}), KeyStoreError),
    (lambda: load_seed(path()), KeyStoreError),
)


def run(data: bytes) -> None:
    """Let every reader have every file: an operator may mix them up."""
    path().write_bytes(data)
    path().chmod(0o600)
    for reader, documented in READERS:
        try:
            reader()
        except documented as error:
            said = f"{error.message} {error.hint}"
            assert said.isprintable()
            assert not any(word in said for word in secrets_in(data))


def secrets_in(data: bytes) -> list[str]:
    """Return the long words of a file: an error that repeats one tells a key."""
    text = "".join(chr(c) if chr(c).isalnum() else " " for c in data)
    return [word for word in text.split() if len(word) > LONGEST_WORD]


LONGEST_WORD = 20
"""Characters: no word of our own messages has more."""

MAX_SIZE = 8192


def seeds() -> Iterator[bytes]:
    for suite_id in (1, 2):
        private = identity("initiator", suite_id)
        yield encode_private(private).encode()
        yield encode_public(private.public, "a comment").encode()
        yield format_fingerprint(private.public.fingerprint).encode()
    line = base64.b64encode(b"k" * 32)
    yield line + b"\n"
    key = {"key_ID": "bc490419-7d60-487f-adc1-4ddcc177c139", "key": line.decode()}
    yield json.dumps({"keys": [key, key, {"key_ID": "x"}]}).encode()


TARGET = Target(
    "identity and key files: documented errors that repeat nothing of the file",
    run,
    seeds,
    MAX_SIZE,
    (
        *(
            b"-----BEGIN QGW PRIVATE IDENTITY-----\n",
            b"-----END QGW PUBLIC IDENTITY-----",
        ),
        *(b"-----BEGIN QGW PUBLIC IDENTITY-----\n", b"Fingerprint: ", b"Comment: "),
        *(b'"keys":', b'"key_ID":', b'"key":', b"=", b"\xef\xbb\xbf", b"\n\n"),
    ),
)
