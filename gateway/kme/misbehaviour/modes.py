"""The table of all ways in which our KME can be told to misbehave (simulation)."""

from collections.abc import Callable, Mapping
from typing import Final

from gateway.kme.key_id_forms import LONG, UPPER
from gateway.kme.misbehaviour import documents as spoil
from gateway.kme.misbehaviour import transport as wire
from gateway.kme.misbehaviour.answers import ALL_CALLS, KEY_CALLS, Act, Mode
from gateway.kme.misbehaviour.documents import spoiling
from gateway.kme.refusals import BAD_REQUEST, KEYS_NOT_FOUND, UNAVAILABLE

_ENC: Final = frozenset({"enc_keys"})
_DEC: Final = frozenset({"dec_keys"})
_STATUS: Final = frozenset({"status"})

BUSY: Final = "the pool is locked"
"""What a KME says in the modes about where it says it."""

_EMPTY: Final = {"message": "not enough keys"}
_ELSEWHERE: Final = {"Location": "https://kme.invalid/api/v1/keys"}


def _refusals() -> tuple[tuple[str, frozenset[str], str, Act], ...]:
    consumed = "a key that is gone (or unknown) is answered"
    certificate = "a certificate that it does not know (it says) is answered"
    down = {"message": UNAVAILABLE}
    return (
        ("503", ALL_CALLS, "503 with a message", wire.answer(503, down)),
        ("500", ALL_CALLS, "500 with a message", wire.answer(500, down)),
        (
            "429",
            ALL_CALLS,
            "429 with Retry-After, which the standard does not know",
            wire.answer(429, {"message": "slow down"}, {"Retry-After": "2"}),
        ),
        ("empty", _ENC, "503 as if the pool were empty", wire.answer(503, _EMPTY)),
        ("empty-400", _ENC, "an empty pool is answered 400", wire.answer(400, _EMPTY)),
        *_bodies(),
        ("keeps-one", _ENC, "one key is never given, 503", wire.keeping(1, 503)),
        ("keeps-one-400", _ENC, "one key is never given, 400", wire.keeping(1, 400)),
        ("consumed-401", _DEC, f"{consumed} 401, no body", _gone(401, is_bare=True)),
        ("consumed-403", _DEC, f"{consumed} 403, no body", _gone(403, is_bare=True)),
        ("consumed-503", _DEC, f"{consumed} 503, no body", _gone(503, is_bare=True)),
        ("consumed-404", _DEC, f"{consumed} 404", _gone(404)),
        ("consumed-409", _DEC, f"{consumed} 409", _gone(409)),
        ("consumed-410", _DEC, f"{consumed} 410", _gone(410)),
        (
            "parameter-422",
            KEY_CALLS,
            "a bad parameter is answered 422",
            wire.restate(400, 422, BAD_REQUEST),
        ),
        (
            "expired-403",
            _DEC,
            "403 as if the keys had expired",
            wire.answer(403, {"message": "key expired"}),
        ),
        ("certificate-400", ALL_CALLS, f"{certificate} 400", _stranger(400)),
        ("certificate-401", ALL_CALLS, f"{certificate} 401", wire.answer(401)),
        ("certificate-404", ALL_CALLS, f"{certificate} 404", _stranger(404)),
        (
            "redirect",
            ALL_CALLS,
            "307 to another KME",
            wire.answer(307, None, _ELSEWHERE),
        ),
        (
            "no-status",
            _STATUS,
            "404 to the status call",
            wire.answer(404, {"detail": "Not Found"}),
        ),
        ("html", ALL_CALLS, "502 with a proxy's HTML page", wire.html_page),
    )


def _bodies() -> tuple[tuple[str, frozenset[str], str, Act], ...]:
    busy = {"type": "about:blank", "title": "Busy", "detail": BUSY, "status": 500}
    problem = {"Content-Type": "application/problem+json"}
    return (
        (
            "500-detail",
            ALL_CALLS,
            "500 with its words in detail, as FastAPI has it",
            wire.answer(500, {"detail": BUSY}),
        ),
        (
            "500-error",
            ALL_CALLS,
            "500 with its words in error",
            wire.answer(500, {"error": {"code": 17, "message": BUSY}}),
        ),
        (
            "500-problem",
            ALL_CALLS,
            "500 with problem details (RFC 9457)",
            wire.answer(500, busy, problem),
        ),
    )


def _gone(status: int, *, is_bare: bool = False) -> Act:
    return wire.restate(400, status, KEYS_NOT_FOUND, is_bare=is_bare)


def _stranger(status: int) -> Act:
    return wire.answer(status, {"message": "client certificate not known"})


def _transports() -> tuple[tuple[str, frozenset[str], str, Act], ...]:
    return (
        ("slow", ALL_CALLS, "honest, after the delay", wire.slow),
        ("slow-drip", ALL_CALLS, "honest, a byte each delay", wire.slow_drip),
        ("close", ALL_CALLS, "the connection closes, no answer", wire.close),
        ("drop", ALL_CALLS, "the connection closes mid-answer", wire.drop),
        ("oversized", ALL_CALLS, "keys without end", wire.oversized),
        ("garbage", ALL_CALLS, "random bytes for JSON", wire.garbage),
        ("truncated", ALL_CALLS, "JSON cut in the middle", wire.truncated),
        ("deep", ALL_CALLS, "JSON nested 50,000 deep", wire.deep),
    )


def _documents() -> tuple[tuple[str, frozenset[str], str, Act], ...]:
    keys: tuple[tuple[str, frozenset[str], spoil.Spoil], ...] = (
        ("wrong-keys", _DEC, spoil.wrong_keys),
        ("same-bytes", KEY_CALLS, spoil.same_bytes),
        ("short-keys", KEY_CALLS, spoil.short_keys),
        ("long-keys", KEY_CALLS, spoil.long_keys),
        ("empty-keys", KEY_CALLS, spoil.empty_keys),
        ("bad-base64", KEY_CALLS, spoil.bad_base64),
        ("unpadded", KEY_CALLS, spoil.unpadded),
        ("zero-kme-id", _STATUS, spoil.zero_kme_id),
        ("duplicate-ids", KEY_CALLS, spoil.duplicate_ids),
        ("no-key-id", KEY_CALLS, spoil.no_key_id),
        ("bad-key-id", KEY_CALLS, spoil.bad_key_id),
        ("extra-keys", KEY_CALLS, spoil.extra_keys),
        ("fewer-keys", KEY_CALLS, spoil.fewer_keys),
        ("keys-object", KEY_CALLS, spoil.keys_object),
        ("single-key-object", KEY_CALLS, spoil.single_key_object),
        ("wrong-types", ALL_CALLS, spoil.wrong_types),
        ("strange-members", ALL_CALLS, spoil.strange_members),
        ("count-drift", _STATUS, spoil.count_drift),
        ("no-counts", _STATUS, spoil.no_counts),
    )
    again = ("replay", KEY_CALLS, "the keys of the answer before", spoil.replay)
    upper, long = spoil.naming(UPPER), spoil.naming(LONG)
    return (
        ("upper-ids", KEY_CALLS, "key_IDs in upper case, and only those taken", upper),
        ("long-ids", KEY_CALLS, "key_IDs of 70 characters that are no UUIDs", long),
        *((name, calls, _first_line(act), spoiling(act)) for name, calls, act in keys),
        again,
    )


def _first_line(act: Callable[..., object]) -> str:
    line = (act.__doc__ or "").partition("\n")[0].removesuffix(".")
    return line[:1].lower() + line[1:]


MODES: Final[Mapping[str, Mode]] = {
    name: Mode(name, calls, explanation, act)
    for name, calls, explanation, act in (*_transports(), *_refusals(), *_documents())
}
"""Every mode by the name that ``qgw-kme misbehave`` takes."""
