"""The XFRMA_ attributes of linux/xfrm.h as pyroute2 classes."""

import struct
from typing import Any, ClassVar

from pyroute2.netlink import nla_base_string

from gateway.dataplane.xfrm import structs

ALGORITHM_NAME_SIZE = 64
"""Bytes of alg_name in struct xfrm_algo and its kin, ended by a zero."""


class converted(nla_base_string):
    """An attribute whose bytes a subclass makes from a value, and back."""

    def setvalue(self, value: Any) -> None:
        self.value = value

    def encode(self) -> None:
        self["value"] = self.pack(self.value)
        super().encode()

    def decode(self) -> None:
        super().decode()
        self.value = self.unpack(self["value"])

    def pack(self, value: Any) -> bytes:
        """Return the attribute's payload."""
        raise NotImplementedError

    def unpack(self, raw: bytes) -> Any:
        """Return the value of a payload."""
        raise NotImplementedError


class structured(converted):
    """An attribute that is one record."""

    record: ClassVar[type[structs.Record]]

    def pack(self, value: Any) -> bytes:
        return self.record.pack(value)

    def unpack(self, raw: bytes) -> Any:
        return self.record.unpack_from(raw)


class record_list(converted):
    """An attribute that is records one after another, with no headers between."""

    record: ClassVar[type[structs.Record]]

    def pack(self, value: Any) -> bytes:
        return b"".join(self.record.pack(entry) for entry in value)

    def unpack(self, raw: bytes) -> list[Any]:
        step = self.record.size()
        return [
            self.record.unpack_from(raw, offset)
            for offset in range(0, len(raw) - step + 1, step)
        ]


class algorithm(converted):
    """struct xfrm_algo: name, key."""

    extra: ClassVar[str | None] = None

    def pack(self, value: Any) -> bytes:
        key = value["alg_key"]
        sizes = [8 * len(key)] + ([value[self.extra]] if self.extra else [])
        return struct.pack(
            f"={ALGORITHM_NAME_SIZE}s{len(sizes)}I",
            value["alg_name"].encode(),
            *sizes,
        ) + bytes(key)

    def unpack(self, raw: bytes) -> dict[str, Any]:
        count = 2 if self.extra else 1
        name, *sizes = struct.unpack_from(f"={ALGORITHM_NAME_SIZE}s{count}I", raw)
        start = ALGORITHM_NAME_SIZE + 4 * count
        found = {
            "alg_name": name.split(b"\0")[0].decode(),
            "alg_key": raw[start : start + sizes[0] // 8],
        }
        if self.extra:
            found[self.extra] = sizes[1]
        return found


class algorithm_auth(algorithm):
    """struct xfrm_algo_auth: with the length of the truncated ICV in bits."""

    extra = "alg_trunc_len"


class algorithm_aead(algorithm):
    """struct xfrm_algo_aead: with the length of the ICV in bits."""

    extra = "alg_icv_len"


class replay_state_esn(converted):
    """struct xfrm_replay_state_esn: sequence numbers of 64 bits and a window.

    On the way to the kernel `bmp` may be left out: then its length is made long
    enough for `replay_window` packets, and the kernel starts with an empty one.
    """

    names = ("oseq", "seq", "oseq_hi", "seq_hi", "replay_window")
    head = 24

    def pack(self, value: Any) -> bytes:
        bitmap = value.get("bmp", ())
        return struct.pack(
            f"=6I{len(bitmap)}I",
            len(bitmap) or -(-value["replay_window"] // 32),
            *(value.get(name, 0) for name in self.names),
            *bitmap,
        )

    def unpack(self, raw: bytes) -> dict[str, Any]:
        count, *values = struct.unpack_from("=6I", raw)
        found: dict[str, Any] = dict(zip(self.names, values, strict=True))
        words = min(count, (len(raw) - self.head) // 4)
        if words:
            found["bmp"] = list(struct.unpack_from(f"={words}I", raw, self.head))
        return found


class security_context(converted):
    """struct xfrm_user_sec_ctx: ``(doi, algorithm, context)``."""

    layout = "=HHBBH"

    def pack(self, value: Any) -> bytes:
        doi, algorithm_number, context = value
        length = struct.calcsize(self.layout) + len(context)
        head = struct.pack(self.layout, length, 8, algorithm_number, doi, len(context))
        return head + bytes(context)

    def unpack(self, raw: bytes) -> tuple[int, int, bytes]:
        _, _, algorithm_number, doi, size = struct.unpack_from(self.layout, raw)
        start = struct.calcsize(self.layout)
        return doi, algorithm_number, raw[start : start + size]


class xfrm_attributes:
    """Mixin with the attribute table of every XFRM message."""

    nla_map = (
        ("XFRMA_UNSPEC", "none"),
        ("XFRMA_ALG_AUTH", "alg"),
        ("XFRMA_ALG_CRYPT", "alg"),
        ("XFRMA_ALG_COMP", "alg"),
        ("XFRMA_ENCAP", "encap"),
        ("XFRMA_TMPL", "tmpl"),
        ("XFRMA_SA", "sa"),
        ("XFRMA_POLICY", "policy"),
        ("XFRMA_SEC_CTX", "sec_ctx"),
        ("XFRMA_LTIME_VAL", "ltime_val"),
        ("XFRMA_REPLAY_VAL", "replay_val"),
        ("XFRMA_REPLAY_THRESH", "uint32"),
        ("XFRMA_ETIMER_THRESH", "uint32"),
        ("XFRMA_SRCADDR", "address"),
        ("XFRMA_COADDR", "address"),
        ("XFRMA_LASTUSED", "uint64"),
        ("XFRMA_POLICY_TYPE", "policy_type"),
        ("XFRMA_MIGRATE", "migrate"),
        ("XFRMA_ALG_AEAD", "alg_aead"),
        ("XFRMA_KMADDRESS", "kmaddress"),
        ("XFRMA_ALG_AUTH_TRUNC", "alg_auth"),
        ("XFRMA_MARK", "mark"),
        ("XFRMA_TFCPAD", "uint32"),
        ("XFRMA_REPLAY_ESN_VAL", "replay_esn"),
        ("XFRMA_SA_EXTRA_FLAGS", "uint32"),
        ("XFRMA_PROTO", "uint8"),
        ("XFRMA_ADDRESS_FILTER", "address_filter"),
        ("XFRMA_PAD", "none"),
        ("XFRMA_OFFLOAD_DEV", "offload"),
        ("XFRMA_SET_MARK", "uint32"),
        ("XFRMA_SET_MARK_MASK", "uint32"),
        ("XFRMA_IF_ID", "uint32"),
        ("XFRMA_MTIMER_THRESH", "uint32"),
        ("XFRMA_SA_DIR", "uint8"),
        ("XFRMA_NAT_KEEPALIVE_INTERVAL", "uint32"),
    )

    alg = algorithm
    alg_auth = algorithm_auth
    alg_aead = algorithm_aead
    replay_esn = replay_state_esn
    sec_ctx = security_context

    class encap(structured):
        record = structs.xfrm_encap_tmpl

    class tmpl(record_list):
        record = structs.xfrm_user_tmpl

    class migrate(record_list):
        record = structs.xfrm_user_migrate

    class sa(structured):
        record = structs.xfrm_usersa_info

    class policy(structured):
        record = structs.xfrm_userpolicy_info

    class ltime_val(structured):
        record = structs.xfrm_lifetime_cur

    class replay_val(structured):
        record = structs.xfrm_replay_state

    class address(structured):
        record = structs.xfrm_address

    class policy_type(structured):
        record = structs.xfrm_userpolicy_type

    class kmaddress(structured):
        record = structs.xfrm_user_kmaddress

    class mark(structured):
        record = structs.xfrm_mark

    class address_filter(structured):
        record = structs.xfrm_address_filter

    class offload(structured):
        record = structs.xfrm_user_offload
