"""Misbehaviour in what an answer says: keys and counts that cannot be right."""

import base64
import copy
import json
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from gateway.kme.guard import SUBJECT
from gateway.kme.key_id_forms import FORM, KeyIDForm
from gateway.kme.misbehaviour.answers import Act, Answering
from gateway.kme.replies import Reply

Document = dict[str, object]
Entries = list[dict[str, object]]
Spoil = Callable[[Document, Entries], None]
"""Changes a copy of an honest document; the second argument is its list of keys."""


def spoiling(spoil: Spoil) -> Act:
    """Make an act that changes an honest answer with keys or a status in it."""

    async def act(answering: Answering) -> web.StreamResponse | None:
        honest = await answering.honest()
        if honest.status != HTTPStatus.OK or honest.document is None:
            return None
        document = copy.deepcopy(dict(honest.document))
        keys = document.get("keys")
        spoil(document, keys if isinstance(keys, list) else [])
        return Reply(HTTPStatus.OK, document).response()

    return act


def naming(form: KeyIDForm) -> Act:
    """Make an act that answers honestly, with key_IDs in another form."""

    async def act(answering: Answering) -> web.StreamResponse | None:
        answering.request[FORM] = form
        return (await answering.honest()).response()

    return act


async def replay(answering: Answering) -> web.StreamResponse | None:
    """Give the keys of the answer before once more; the first one is honest."""
    honest = await answering.honest()
    # Never another SAE's keys, not even here.
    whose = f"{answering.request.path} {answering.request[SUBJECT]}"
    before = answering.memory.get(whose)
    if isinstance(before, Mapping):
        return Reply(HTTPStatus.OK, before).response()
    if honest.status == HTTPStatus.OK:
        answering.memory[whose] = honest.document
    return honest.response()


def wrong_keys(_document: Document, keys: Entries) -> None:
    """Other bytes of the same size under the same key_IDs."""
    for entry in keys:
        entry["key"] = _encode(os.urandom(len(_bytes(entry))))


def same_bytes(_document: Document, keys: Entries) -> None:
    """The first key's bytes under every key_ID."""
    for entry in keys:
        entry["key"] = keys[0]["key"]


def short_keys(_document: Document, keys: Entries) -> None:
    """Keys of half the size."""
    for entry in keys:
        key = _bytes(entry)
        entry["key"] = _encode(key[: len(key) // 2])


def long_keys(_document: Document, keys: Entries) -> None:
    """Keys of twice the size."""
    for entry in keys:
        entry["key"] = _encode(_bytes(entry) * 2)


def empty_keys(_document: Document, keys: Entries) -> None:
    """Keys of no bytes."""
    for entry in keys:
        entry["key"] = ""


def bad_base64(_document: Document, keys: Entries) -> None:
    """Keys in an alphabet that is not base64's."""
    for entry in keys:
        entry["key"] = "*" + str(entry["key"])[1:]


def unpadded(_document: Document, keys: Entries) -> None:
    """Keys in base64 without its padding."""
    for entry in keys:
        entry["key"] = str(entry["key"]).rstrip("=")


def zero_kme_id(document: Document, _keys: Entries) -> None:
    """A status whose target_KME_ID is the number 0."""
    document["target_KME_ID"] = 0


def duplicate_ids(_document: Document, keys: Entries) -> None:
    """One key_ID for all keys, or one key twice."""
    keys.append(dict(keys[0]))
    for entry in keys:
        entry["key_ID"] = keys[0]["key_ID"]


def no_key_id(_document: Document, keys: Entries) -> None:
    """Keys without key_ID."""
    for entry in keys:
        del entry["key_ID"]


def bad_key_id(_document: Document, keys: Entries) -> None:
    """key_IDs with a space in them, which are none."""
    for place, entry in enumerate(keys):
        entry["key_ID"] = f"key {place}"


def extra_keys(_document: Document, keys: Entries) -> None:
    """One key more than was asked for."""
    seed = os.urandom(16)
    size = len(_bytes(keys[0]))
    keys.append({"key_ID": _uuid(seed), "key": _encode(os.urandom(size))})


def fewer_keys(_document: Document, keys: Entries) -> None:
    """One key less than was asked for, which may be none."""
    keys.pop()


def keys_object(document: Document, keys: Entries) -> None:
    """`keys` as an object by key_ID and not an array."""
    document["keys"] = {str(entry["key_ID"]): entry for entry in keys}


def single_key_object(document: Document, keys: Entries) -> None:
    """`keys` as the one key itself and not an array."""
    document["keys"] = keys[0]


def wrong_types(document: Document, keys: Entries) -> None:
    """Numbers as strings, strings as numbers."""
    for entry in keys:
        entry["key"] = int.from_bytes(_bytes(entry)[:6])
    for name, value in document.items():
        if isinstance(value, int):
            document[name] = str(value)


def strange_members(document: Document, keys: Entries) -> None:
    """Members that the standard does not name, and null for optional ones."""
    document["vendor"] = {"model": "simulated", "list": [1, None, {"a": []}]}
    document["key_container_extension"] = None
    for entry in keys:
        entry["key_extension"] = None
        entry["vendor"] = json.dumps(["simulated"])


def count_drift(document: Document, _keys: Entries) -> None:
    """A count of stored keys that is not the true one."""
    count = document.get("stored_key_count")
    if isinstance(count, int):
        document["stored_key_count"] = count * 2 + 1000


def no_counts(document: Document, _keys: Entries) -> None:
    """A status that leaves out half of what it must have."""
    for name in ("key_size", "stored_key_count", "max_key_per_request"):
        document.pop(name, None)


def _bytes(entry: Mapping[str, object]) -> bytes:
    return base64.b64decode(str(entry["key"]))


def _encode(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")


def _uuid(random: bytes) -> str:
    digits = random.hex()
    parts = digits[:8], digits[8:12], "4" + digits[13:16], "8" + digits[17:20]
    return "-".join((*parts, digits[20:]))
