"""OpenSSL's verdicts on certificates, in words and with advice."""

from typing import Final

_UNKNOWN_CA = (
    "the KME's certificate is from an unknown CA",
    "the ca file must hold the CA that issued it, or the certificate itself",
)

CERTIFICATE_PROBLEMS: Final = {
    -1: (
        "the KME's certificate names another KME than kme_id",
        "kme_id must be its common name, or a DNS name or URI among its others",
    ),
    9: (
        "the KME's certificate is not valid yet",
        "check the clocks of both machines, then the certificate's dates",
    ),
    10: (
        "the KME's certificate has expired",
        "renew it at the KME; check the clock of this machine",
    ),
    7: ("the signature of the KME's certificate is wrong", _UNKNOWN_CA[1]),
    2: _UNKNOWN_CA,
    18: _UNKNOWN_CA,
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
    23: ("the KME's certificate has been revoked", "the KME needs another one"),
    24: (
        "the certificate that issued the KME's may not issue any",
        "the ca file must hold a CA certificate",
    ),
    26: (
        "the KME's certificate is not for servers",
        "its extended key usage must have serverAuth",
    ),
    62: (
        "the KME's certificate is for another name",
        "the host in the URL must stand in its subject alternative names",
    ),
    64: (
        "the KME's certificate is for another address",
        "the IP address in the URL must stand in its subject alternative names",
    ),
    66: ("the key of the KME's certificate is too short", "the KME needs another one"),
    68: ("the KME's certificate has a weak signature", "the KME needs another one"),
}
"""`X509_V_ERR_*` of OpenSSL's x509_vfy.h: message and hint."""

CERTIFICATE_UNKNOWN: Final = (
    "the KME's certificate is refused",
    "look at it with: openssl s_client -connect HOST:PORT -showcerts",
)

_OURS = (
    "check certificate and private_key, and that the KME knows our CA and our SAE ID"
)

ALERTS_ABOUT_US: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        "the KME got no certificate from us that it can use",
        _OURS,
    ),
    "TLSV1_ALERT_UNKNOWN_CA": (
        "the KME does not know the CA of our certificate",
        _OURS,
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (
        "the KME says that our certificate has expired",
        "renew it; check the clocks of both machines",
    ),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": (
        "the KME says that our certificate is revoked",
        "get another one",
    ),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": ("the KME refuses our certificate", _OURS),
    "SSLV3_ALERT_BAD_CERTIFICATE": ("the KME refuses our certificate", _OURS),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": (
        "the KME does not take this kind of certificate",
        "its extended key usage must have clientAuth",
    ),
    "TLSV1_ALERT_ACCESS_DENIED": ("the KME knows our certificate and denies us", _OURS),
    "TLSV1_ALERT_DECRYPT_ERROR": (
        "the KME cannot check our signature or PSK",
        "the private key or PSK is another one than the KME expects",
    ),
    "UNKNOWN_PSK_IDENTITY": (
        "the KME does not know our PSK identity",
        "check psk_identity at both ends",
    ),
    "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY": (
        "the KME does not know our PSK identity",
        "check psk_identity at both ends",
    ),
    "SSLV3_ALERT_BAD_RECORD_MAC": (
        "the KME cannot read what we encrypt: with a PSK, it has another one",
        "check psk_file at both ends",
    ),
}
"""TLS alerts of the KME that are about our certificate or PSK (RFC 8446, 6.2)."""
