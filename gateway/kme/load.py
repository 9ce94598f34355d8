"""Loader of a KME's configuration: one TOML file, all mistakes reported at once.

Relative paths are taken from the folder of the file. What it names is not opened here.
"""

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.config.files import read_source
from gateway.config.model import LogLevel
from gateway.config.problems import Problems, Source, show
from gateway.config.section import Section
from gateway.config.values import (
    BadValueError,
    many,
    number,
    one_of,
    parse_text,
    path_beside,
    refuse_link_local,
    secret_path_beside,
    whole,
)
from gateway.errors import ConfigError
from gateway.kme.load_space import read_space, refuse_stations
from gateway.kme.models import MODELS, parameters_of, presets_of
from gateway.kme.requests import MAX_SAE_ID
from gateway.kme.settings import (
    DEFAULT_KEY_SIZE,
    DEFAULT_MAX_KEY_COUNT,
    DEFAULT_MAX_KEY_PER_REQUEST,
    DEFAULT_MAX_WAITING,
    DEFAULT_REQUESTS_PER_SECOND,
    MAX_KEY_PER_REQUEST,
    MAX_KEY_SIZE,
    MIN_KEY_SIZE,
    End,
    KmePeerSettings,
    KMESettings,
    LinkSettings,
    SAESettings,
)
from gateway.kme.space_settings import SpaceSettings

DEFAULT_PATH: Final = Path("/etc/qgw-kme/kme.toml")
DEFAULT_POOL: Final = Path("/var/lib/qgw-kme/pool.db")
DEFAULT_CONTROL_SOCKET: Final = Path("/run/qgw-kme/control.sock")
DEFAULT_LISTEN: Final = ("0.0.0.0", 8443)  # noqa: S104  # as servers do

MAX_COUNT: Final = 100_000_000
"""Keys stored, or waiting: the pool holds counters, so that many cost no room."""

MAX_REQUESTS_PER_SECOND: Final = 100_000.0

MAX_PARAMETER: Final = 1e12
"""Of a model of a link; each model has bounds of its own, which it says."""

_TABLES: Final = ("kme", "peer", "link", "stations", "saes", "log")

_UNIT: Final = {"satellite": "the unit in docs/satellite.md"}
_FIBRE_UNIT: Final = "the unit in docs/simulated-link.md"


def load_settings(path: Path = DEFAULT_PATH) -> KMESettings:
    """Load and check the configuration of a KME.

    Raises:
        ConfigError: Something is wrong; it carries every problem found.
    """
    problems = Problems()
    source = read_source(path, problems)
    settings = _read(source, problems) if source is not None else None
    if problems.found or settings is None:
        error = ConfigError(tuple(sorted(problems.found, key=lambda each: each.line)))
        error.hint = f"correct them and run: qgw-kme check --config {path}"
        raise error
    return settings


def _read(source: Source, problems: Problems) -> KMESettings | None:
    top = Section(source, (), problems)
    for name in _TABLES:
        top.optional(name, lambda value: value, None)
    top.close()
    kme, log = Section(source, ("kme",), problems), Section(source, ("log",), problems)
    beside = path_beside(source.file)
    secret = secret_path_beside(source.file)
    kme_id = kme.required("id", _parse_id, '"kme-alice"')
    certificate = kme.required("certificate", beside, '"kme.pem"')
    private_key = kme.required("private_key", secret, '"kme.key"')
    ca = kme.required("ca", beside, '"ca.pem"')
    peer = _read_peer(Section(source, ("peer",), problems))
    link = _read_link(source, problems)
    saes = _read_saes(source, problems)
    host, port = kme.optional("listen", _parse_listen, DEFAULT_LISTEN)
    key_size = kme.optional(
        "key_size", _multiple_of_8(MIN_KEY_SIZE, MAX_KEY_SIZE), DEFAULT_KEY_SIZE
    )
    count = whole(1, MAX_COUNT)
    limits = {
        "key_size": key_size,
        "max_key_count": kme.optional("max_key_count", count, DEFAULT_MAX_KEY_COUNT),
        "max_key_per_request": kme.optional(
            "max_key_per_request",
            whole(1, MAX_KEY_PER_REQUEST),
            DEFAULT_MAX_KEY_PER_REQUEST,
        ),
        "max_waiting": kme.optional(
            # At least one call's keys, or they would be dropped as they come.
            "max_waiting",
            whole(MAX_KEY_PER_REQUEST, MAX_COUNT),
            DEFAULT_MAX_WAITING,
        ),
    }
    rate = kme.optional(
        "requests_per_second",
        number(0, MAX_REQUESTS_PER_SECOND, "requests a second"),
        DEFAULT_REQUESTS_PER_SECOND,
    )
    pool = kme.optional("pool", beside, DEFAULT_POOL)
    control_socket = kme.optional("control_socket", beside, DEFAULT_CONTROL_SOCKET)
    log_level = log.optional("level", one_of(LogLevel), LogLevel.INFO)
    kme.close()
    log.close()
    if kme_id is None or certificate is None or private_key is None or ca is None:
        return None
    if peer is None or link is None:
        return None
    _check_ids(kme, kme_id, peer, saes)
    return KMESettings(
        kme_id=kme_id,
        host=host,
        port=port,
        certificate=certificate,
        private_key=private_key,
        ca=ca,
        pool=pool,
        control_socket=control_socket,
        peer=peer,
        link=link,
        saes=saes,
        requests_per_second=rate,
        log_level=log_level.value,
        **limits,
    )


def _read_peer(section: Section) -> KmePeerSettings | None:
    kme_id = section.required("id", _parse_id, '"kme-bob"')
    url = section.required("url", _parse_url, '"https://kme-b.example.org:8443"')
    section.close()
    return KmePeerSettings(kme_id, url) if kme_id and url else None


def _read_link(source: Source, problems: Problems) -> LinkSettings | None:
    section = Section(source, ("link",), problems)
    end = section.required("end", one_of(End), '"alice" at one KME, "bob" at the other')
    seed_file = section.required(
        "seed_file", secret_path_beside(section.source.file), '"link.seed"'
    )
    model = section.optional("model", _one_of(MODELS), "fibre")
    # bob may repeat what alice's file says of the link, so that both look the same.
    parameters: dict[str, float | str] = {}
    presets = presets_of(model)
    preset = section.optional("preset", _one_of(presets), None) if presets else None
    if preset is not None:
        parameters["preset"] = preset
    for name in sorted(parameters_of(model)):
        value = section.optional(
            name, number(0, MAX_PARAMETER, _UNIT.get(model, _FIBRE_UNIT)), None
        )
        if value is not None:
            parameters[name] = value
    space = SpaceSettings()
    if model == "satellite":
        space = read_space(section, preset, source, problems)
    else:
        refuse_stations(source, problems)
    section.close()
    if end is None or seed_file is None:
        return None
    return LinkSettings(end, seed_file, model, parameters, space)


def _read_saes(source: Source, problems: Problems) -> dict[str, SAESettings]:
    tables = Section(source, ("saes",), problems)
    saes: dict[str, SAESettings] = {}
    parse_ids = many(_parse_id)
    for name in tables.names():
        section = Section(source, ("saes", name), problems)
        try:
            _parse_id(name)
        except BadValueError as error:
            tables.refuse(name, error.expected, repr(name[:MAX_SAE_ID]))
        slaves = section.optional("slaves", parse_ids, ())
        masters = section.optional("masters", parse_ids, ())
        section.close()
        if name in slaves or name in masters:
            section.refuse("", "SAEs of the other site", "itself")
        if not slaves and not masters:
            section.refuse(
                "slaves", "SAEs of the other site here, or in masters", "none"
            )
        saes[name] = SAESettings(frozenset(slaves), frozenset(masters))
    if not saes:
        tables.refuse("", "an SAE of this site, [saes.ID]", "none")
    return saes


def _check_ids(
    kme: Section, kme_id: str, peer: KmePeerSettings, saes: dict[str, SAESettings]
) -> None:
    """Refuse an ID in two roles: a certificate would then open two doors."""
    if kme_id == peer.kme_id:
        kme.refuse("id", "another than [peer] id", repr(kme_id))
    for each in (kme_id, peer.kme_id):
        if each in saes:
            kme.refuse("id", "KME IDs that are no SAE IDs", repr(each))
    for sae_id, sae in saes.items():
        both = (sae.slaves | sae.masters) & saes.keys()
        if both:
            found = f"{min(both)!r}, which is at this one"
            kme.refuse("id", f"only SAEs of the other site in [saes.{sae_id}]", found)


def _parse_id(value: object) -> str:
    text = parse_text(value)
    if len(text) > MAX_SAE_ID:
        raise BadValueError(f"an ID of 1 to {MAX_SAE_ID} characters")
    return text


def _one_of(names: Iterable[str]) -> Callable[[object], str]:
    known = tuple(names)

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise BadValueError("one of " + ", ".join(known))
        return value

    return parse


def _parse_url(value: object) -> str:
    text = parse_text(value)
    expected = "https://HOST:PORT without path or user"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BadValueError(expected) from None
    is_bare = parts.path in {"", "/"} and not (parts.query or parts.fragment)
    if parts.scheme != "https" or not parts.hostname or "@" in text or not is_bare:
        # Not repeated: a password may stand in it.
        raise BadValueError(expected, "(something else)" if "@" in text else None)
    if port == 0:
        raise BadValueError(expected)
    refuse_link_local(parts.hostname, show(value))
    return text.rstrip("/")


def _parse_listen(value: object) -> tuple[str, int]:
    text = parse_text(value)
    expected = "ADDRESS:PORT, such as 0.0.0.0:8443 or [::]:8443"
    try:
        parts = urlsplit(f"//{text}")
        host, port = str(ip_address(parts.hostname or "")), parts.port
    except ValueError:
        raise BadValueError(expected) from None
    if not port or parts.path or parts.query or parts.fragment or "@" in text:
        raise BadValueError(expected)
    return host, port


def _multiple_of_8(minimum: int, maximum: int) -> Callable[[object], int]:
    parse_whole = whole(minimum, maximum)

    def parse(value: object) -> int:
        taken = parse_whole(value)
        if taken % 8:
            raise BadValueError("a multiple of 8")
        return taken

    return parse
