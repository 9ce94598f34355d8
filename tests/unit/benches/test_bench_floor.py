"""The floor counts what a handshake does: held against the handshake itself."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from benches.floor import floor_operations
from benches.handshakes import WARM_UP, Pair

from gateway.crypto import aead, ecdh, kdf, kem_openssl
from gateway.handshake.noise import initiator, keys, responder, transcript


def count_calls(
    monkeypatch: pytest.MonkeyPatch, counted: Counter[str], what: str, *places: Any
) -> None:
    """Count calls of the functions at (module or class, name) pairs."""
    for owner, name in places:
        original: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, original: Callable[..., Any] = original) -> Any:
            counted[what] += 1
            return original(*args)

        monkeypatch.setattr(owner, name, call)


def test_counts_are_those_of_a_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(1, "openssl")
    for _ in range(WARM_UP):
        pair.handshake()
    counted: Counter[str] = Counter()
    curve, kem = ecdh._X25519Key, kem_openssl.OpenSSLKEM
    count_calls(monkeypatch, counted, "ECDH key", (ecdh.X25519, "load_private"))
    count_calls(monkeypatch, counted, "ECDH", (curve, "exchange"))
    count_calls(monkeypatch, counted, "KEM key", (kem, "load_private"))
    count_calls(monkeypatch, counted, "encapsulation", (kem, "encapsulate"))
    count_calls(
        monkeypatch,
        counted,
        "decapsulation",
        (kem_openssl._OpenSslPrivateKey, "decapsulate"),
    )
    count_calls(monkeypatch, counted, "HKDF", (kdf, "HKDF"))
    count_calls(monkeypatch, counted, "HKDF-Expand", (kdf, "HKDFExpand"))
    count_calls(monkeypatch, counted, "AEAD", (aead, "AESGCM"))
    count_calls(monkeypatch, counted, "SHA-384", (hashlib, "sha384"))
    count_calls(monkeypatch, counted, "HMAC", (hmac, "digest"))
    pair.handshake()
    floor = {one.name: one.count for one in floor_operations(1, "openssl")}
    assert counted == floor


@pytest.mark.parametrize("suite_id", [1, 2])
def test_every_operation_runs(suite_id: int) -> None:
    for operation in floor_operations(suite_id, "openssl"):
        assert operation.call() is not None


@pytest.mark.parametrize(("suite_id", "datagrams"), [(1, 7), (2, 8)])
def test_a_handshake_is_as_large_as_it_says(suite_id: int, datagrams: int) -> None:
    pair = Pair(suite_id, "openssl")
    sizes = {pair.handshake() for _ in range(WARM_UP)}
    assert len(sizes) == 1
    assert sizes.pop()[0] == datagrams


def test_the_rooms_counted_are_those_that_compute() -> None:
    # If a module of the handshake computes by itself, the counts above miss it.
    for module in (initiator, responder, transcript, keys):
        for name in ("HKDF", "AESGCM", "hashlib", "hmac"):
            assert not hasattr(module, name)
