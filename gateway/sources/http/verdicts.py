"""Verdicts on a KME's HTTP status and message, call by call.

V1.1.1 has 400, 401 and 503, and one of five messages with 400. In the field a consumed
key is answered with 400, 404, 409 or 410, an expired one with 403, an empty pool with
400 or 503, a bad parameter with 400 or 422, a wrong certificate with 400, 401, 403 or
404. So the message is read first, then the status; where neither tells, the verdict is
doubtful, and the client asks for the status of the link before it decides. SKIP's few
statuses mean the same, its call for a key by keyId being a ``dec_keys``.
"""

import re
from dataclasses import dataclass

from gateway.errors import SourceFault
from gateway.sources.http.session import Answer
from gateway.sources.http.trouble import Trouble
from gateway.sources.http.words import quoted

ENC_KEYS = "enc_keys"
DEC_KEYS = "dec_keys"
STATUS = "status"

_UNAUTHORIZED = re.compile(
    r"certificate|unauthori[sz]ed|not (?:authori[sz]ed|allowed|permitted)|forbidden"
    r"|access denied|permission|authenticat"
    r"|\bsae\b.{0,40}(?:unknown|not found|mismatch|not registered|invalid|not match)"
    r"|(?:unknown|invalid|no such) sae",
    re.DOTALL,
)
_MISSING = re.compile(
    r"\bkeys?\b.{0,40}(?:not found|unknown|expired|consumed|already|no longer"
    r"|not exist|n't exist|used|delivered|unavailable|not available)"
    r"|(?:no such|unknown|expired|consumed) key|(?:already|was) (?:consumed|used)",
    re.DOTALL,
)
_EMPTY = re.compile(
    r"(?:no|not enough|insufficient|too few|no more) (?:\w+ ){0,2}keys?"
    r"|keys? .{0,30}(?:not available|unavailable|exhausted|depleted|insufficient)"
    r"|(?:pool|buffer|store|storage)\b.{0,30}(?:empty|exhausted|depleted)"
    r"|(?:empty|exhausted|depleted) .{0,20}(?:pool|buffer|store|storage)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"size shall|multiple of 8|extension_|parameter|max_key_per_request|too many"
    r"|exceed|number"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer that is no success means.

    Attributes:
        fault: The kind of thing, or the best guess.
        doubtful: Whether the link's status should be looked at first.
    """

    fault: SourceFault
    doubtful: bool = False


_BY_STATUS = {
    401: SourceFault.UNAUTHORIZED,
    403: SourceFault.UNAUTHORIZED,
    408: SourceFault.TIMEOUT,
    429: SourceFault.OVERLOADED,
    501: SourceFault.REJECTED,
    503: SourceFault.OVERLOADED,
}

_GONE = frozenset({409, 410})
_US_OR_KEY = frozenset({401, 503})
"""To ``dec_keys`` some answer so for a key that is gone: whoever is told the status of
the link at the same time is known and not asked to wait."""
_KEY_OR_PATH = frozenset({400, 403, 404})
_SERVER_ERRORS = 500
_UNAVAILABLE = 503


def judge(call: str, status: int, said: str) -> Verdict:
    """Say what an HTTP error means.

    Args:
        call: `STATUS`, `ENC_KEYS` or `DEC_KEYS`.
        status: The HTTP status, 400 to 599.
        said: The KME's message, raw.
    """
    words = said.lower()
    if call == DEC_KEYS:
        return _judge_dec_keys(status, words)
    if call == ENC_KEYS:
        return _judge_enc_keys(status, words)
    return Verdict(_by_status(status, words))


def _judge_dec_keys(status: int, words: str) -> Verdict:
    if status in _GONE:
        return Verdict(SourceFault.MISSING)
    if status in _US_OR_KEY:
        return Verdict(_by_status(status, words), doubtful=True)
    if status in _KEY_OR_PATH:
        if _MISSING.search(words):
            return Verdict(SourceFault.MISSING)
        if _UNAUTHORIZED.search(words):
            return Verdict(SourceFault.UNAUTHORIZED)
        if not _PARAMETER.search(words):
            return Verdict(SourceFault.MISSING, doubtful=True)
    return Verdict(_by_status(status, words))


def _judge_enc_keys(status: int, words: str) -> Verdict:
    if status in {400, 404, _UNAVAILABLE}:
        if _EMPTY.search(words):
            return Verdict(SourceFault.EMPTY)
        if status == _UNAVAILABLE:
            return Verdict(SourceFault.OVERLOADED, doubtful=True)
        if not _PARAMETER.search(words) and not _UNAUTHORIZED.search(words):
            return Verdict(_by_status(status, words), doubtful=True)
    return Verdict(_by_status(status, words))


def _by_status(status: int, words: str) -> SourceFault:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= _SERVER_ERRORS:
        return SourceFault.SERVER
    if _UNAUTHORIZED.search(words):
        return SourceFault.UNAUTHORIZED
    return SourceFault.REJECTED


_HINTS = {
    SourceFault.UNAUTHORIZED: (
        "the KME must let our SAE ID, as in our certificate, share keys with the "
        "peer's: compare sae_id and peer_sae_id with the settings of both KMEs"
    ),
    SourceFault.REJECTED: "check the URL, sae_id and peer_sae_id; run: qgw qkd test",
    SourceFault.EMPTY: "the quantum link gives fewer keys than are used, or none",
    SourceFault.MISSING: "consumed, expired, or not delivered to this KME yet",
    SourceFault.OVERLOADED: "",
    SourceFault.SERVER: "look at the KME's own log",
}


def trouble_from(answer: Answer, fault: SourceFault) -> Trouble:
    """Return the trouble that an error answer is."""
    # What failed at the KME may have taken keys; what it refused has not.
    return Trouble(
        fault,
        f"HTTP {answer.status}{quoted(answer.said)}",
        _HINTS.get(fault, ""),
        retry_after=answer.retry_after,
        is_carried_out=fault is SourceFault.SERVER,
        is_json=answer.is_json,
    )
