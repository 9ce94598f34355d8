"""The keys of ``[links.NAME]`` that say how to reach a KME."""

import re
from typing import Final
from urllib.parse import urlsplit

from gateway.config.model import KMEConfig, LinkSource
from gateway.config.problems import show
from gateway.config.section import Section
from gateway.config.values import (
    BadValueError,
    many,
    number,
    parse_text,
    path_beside,
    refuse_link_local,
    secret_path_beside,
    whole,
)

MAX_URLS: Final = 8
"""KMEs of one link: more than any site has."""

MAX_TIMEOUT: Final = 120.0
"""Seconds a call may take; a KME that needs longer is down."""

MAX_BATCH: Final = 1_024
"""Keys in one call: what the largest known KMEs give at once."""

MAX_REQUESTS: Final = 60_000.0
"""Calls a minute: a thousand a second, more than a KME takes."""

_SAE_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
"""Printable, no spaces; the standard sets no bound, certificates' names have 64."""

_KEYS: Final = (
    *("kme", "sae_id", "peer_sae_id", "ca", "certificate", "private_key"),
    *("psk_identity", "psk_file", "timeout", "batch", "requests_per_minute"),
    "kme_id",
)
_BUDGET: Final = ("batch", "requests_per_minute")
"""Relayed keys have a budget too, which `gateway.config.relay_tables` reads."""
_SKIP_ONLY: Final = ("psk_identity", "psk_file")
_FETCHED: Final = (LinkSource.ETSI014, LinkSource.SKIP)


def read_kme(section: Section, source: LinkSource | None) -> KMEConfig | None:
    """Read the keys of a link whose keys are fetched; refuse them on any other."""
    beside = path_beside(section.source.file)
    secret = secret_path_beside(section.source.file)
    kme = KMEConfig(
        urls=section.optional("kme", _parse_urls, ()),
        sae_id=section.optional("sae_id", _parse_sae_id, ""),
        peer_sae_id=section.optional("peer_sae_id", _parse_sae_id, ""),
        ca=section.optional("ca", beside, None),
        certificate=section.optional("certificate", beside, None),
        private_key=section.optional("private_key", secret, None),
        psk_identity=section.optional("psk_identity", parse_text, None),
        psk_file=section.optional("psk_file", secret, None),
        timeout=section.optional("timeout", number(0.5, MAX_TIMEOUT, "seconds"), 10.0),
        batch=section.optional("batch", whole(1, MAX_BATCH), 64),
        requests_per_minute=section.optional(
            "requests_per_minute", number(1, MAX_REQUESTS, "calls a minute"), 120.0
        ),
        kme_ids=section.optional("kme_id", _parse_kme_ids, ()),
    )
    if source is None:
        return None
    if source not in _FETCHED:
        other = _BUDGET if source is LinkSource.RELAY else ()
        for key in _KEYS:
            if key in section and key not in other:
                section.refuse(
                    key, 'no such key unless source is "etsi014" or "skip"', "one"
                )
        return None
    _check(section, source, kme)
    return kme


def _check(section: Section, source: LinkSource, kme: KMEConfig) -> None:
    by_psk = source is LinkSource.SKIP and kme.psk_identity is not None
    needed = ["kme", "peer_sae_id"]
    if source is LinkSource.ETSI014:
        needed.append("sae_id")
        for key in _SKIP_ONLY:
            if key in section:
                section.refuse(key, 'no such key unless source is "skip"', "one")
    if by_psk and "kme_id" in section:
        section.refuse("kme_id", "no such key with psk_identity", "one")
    needed += ["psk_file"] if by_psk else ["ca", "certificate", "private_key"]
    for key in needed:
        if key not in section:
            section.refuse(key, f'a value, since source is "{source}"', "nothing")


def _parse_urls(value: object) -> tuple[str, ...]:
    values = (
        many(_parse_url)(value) if isinstance(value, list) else (_parse_url(value),)
    )
    if not 1 <= len(values) <= MAX_URLS:
        raise BadValueError(f"1 to {MAX_URLS} URLs", f"{len(values)}")
    return values


def _parse_kme_ids(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return many(_parse_sae_id)(value)
    return (_parse_sae_id(value),)


def _parse_url(value: object) -> str:
    expected = 'a URL like "https://kme.example:443"'
    if isinstance(value, str) and "@" in value:
        # Before anything else, so that no other message repeats what it hides.
        raise BadValueError(expected, "one with a user name or password (hidden)")
    text = parse_text(value)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BadValueError(expected, show(value)) from None
    refuse_link_local(parts.hostname or "", show(value))
    plain = not (parts.query or parts.fragment)
    if parts.scheme != "https" or not parts.hostname or not plain or port == 0:
        raise BadValueError(expected, show(value))
    return text.rstrip("/")


def _parse_sae_id(value: object) -> str:
    text = parse_text(value)
    if not _SAE_ID.fullmatch(text):
        raise BadValueError("1 to 128 printable characters without spaces", show(value))
    return text
