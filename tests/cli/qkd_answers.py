"""Answers of the ``qkd.`` methods as a daemon gives them."""

from typing import cast

from gateway.control.qkd_schema import FetchResult, QKDLink, QKDStatus
from tests.cli.conftest import a_link

KME = "https://kme-1.example.org"


def a_qkd_link(name: str = "fibre", **changes: object) -> QKDLink:
    """Return a row of ``qkd.links``."""
    link: dict[str, object] = {
        "link": name,
        "source": "etsi014",
        "simulated": False,
        "kmes": [KME, "https://kme-2.example.org"],
        "route": "",
        "sae_id": "site-a",
        "peer_sae_id": "site-b",
        "draws": True,
        "tunnels": ["lyon", "paris"],
        "stock": a_link(name, source="etsi014"),
        "error": "",
    }
    return cast("QKDLink", link | changes)


SUPPLY: dict[str, object] = {
    "calls": 20,
    "drawn": 1200,
    "fetched": 0,
    "announced": 4,
    "asks": True,
    "peer_available": 976,
    "compared_ago_s": 185.2,
    "refused": {},
    "error": "",
    "hint": "",
    "retry_in_s": 0.0,
}

REPORT: dict[str, object] = {
    "source": KME,
    "source_kme_id": "KME-A",
    "target_kme_id": "KME-B",
    "key_size": 256,
    "stored_key_count": 9800,
    "max_key_count": 10_000,
    "max_key_per_request": 128,
    "notes": [],
    "certificate_expires": "2027-03-01T12:00:00+00:00",
    "tls_group": "X25519MLKEM768",
}


def a_qkd_status(name: str = "fibre", **changes: object) -> QKDStatus:
    """Return one of ``qkd.status``."""
    status: dict[str, object] = {
        "link": name,
        "description": f"ETSI GS QKD 014 at {KME}, site-a with site-b",
        "draws": True,
        "tunnels": ["lyon", "paris"],
        "stock": a_link(name, source="etsi014", rate_in=0.5, seconds_to_empty=None),
        "unconfirmed": 4,
        "target": 1000,
        "capacity": 10_000,
        "scheduled_rate": 0.025,
        "scheduled_empty_s": 39_200.0,
        "supply": SUPPLY,
        "kme": REPORT,
        "kme_trouble": None,
    }
    return cast("QKDStatus", status | changes)


def a_fetch(**changes: object) -> FetchResult:
    """Return a result of ``qkd.fetch``."""
    result: dict[str, object] = {
        "link": "fibre",
        "wanted": 64,
        "drawn": 64,
        "refused": {},
        "available": 1044,
        "unconfirmed": 64,
        "error": "",
        "hint": "",
    }
    return cast("FetchResult", result | changes)
