"""The kernel's SA and policy databases, as far as they are ours.

`Database` carries out what the plane decides; `EspInventory` is what a new daemon
finds of an earlier one.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyroute2.netlink import NETLINK_XFRM

from gateway.dataplane.base import EpochInstall
from gateway.dataplane.esp.associations import (
    AEAD,
    ANSWER_SIZE,
    NAME_END,
    NAME_START,
    Association,
    Found,
    Pair,
    creations,
    read_found,
)
from gateway.dataplane.esp.policies import (
    FoundPolicy,
    policy_deletion,
    policy_request,
    read_policy,
)
from gateway.dataplane.esp.rules import REQID_BASE, PolicyKey, Rule
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.refusals import kernel_call
from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm.messages import build

GONE = frozenset({2, 3})
"""ENOENT and ESRCH: what was to be deleted is not there."""

NEEDS_ESP = (
    "load the modules esp4, esp6, xfrm_user and gcm (Debian: linux-image-amd64), "
    "or use another data plane"
)

TRIAL_ADDRESS = "192.0.2.255"
"""RFC 5737: no packet ever comes from there, so a trial SA harms nobody."""

TRIAL_LIFETIME = 2
"""Seconds; a trial SA that could not be removed is gone after them."""


@dataclass(slots=True)
class EspInventory:
    """What is in the kernel under our reqids, by reqid.

    Attributes:
        associations: SAs.
        policies: Policies with a template.
        passing: Policies of our priorities without one, which let packets through.
    """

    associations: dict[int, list[Found]] = field(
        default_factory=lambda: defaultdict(list)
    )
    policies: dict[int, list[FoundPolicy]] = field(
        default_factory=lambda: defaultdict(list)
    )
    passing: set[PolicyKey] = field(default_factory=set)

    def forget(self, reqid: int) -> None:
        """Strike out what a tunnel has taken over."""
        self.associations.pop(reqid, None)
        self.policies.pop(reqid, None)


class Database:
    """The one connection through which SAs and policies are changed."""

    def __init__(self) -> None:
        with kernel_call("open an XFRM socket", needs=NEEDS_ESP):
            self._connection = NetlinkConnection(NETLINK_XFRM)

    def close(self) -> None:
        """Close the connection; leave SAs and policies as they are."""
        self._connection.close()

    @property
    def port(self) -> int:
        """The port id under which our changes are notified."""
        return self._connection.port

    def try_esp(self) -> None:
        """Check that the kernel takes an SA of the kind we install.

        Raises:
            PlaneUnsupportedError: It has no ESP, or no AES-GCM.
            PlanePermissionError: CAP_NET_ADMIN is missing.
        """
        trial = Association(
            TRIAL_ADDRESS, TRIAL_ADDRESS, int.from_bytes(os.urandom(4)) | 1 << 31
        )
        info = {
            "id": {"daddr": trial.destination, "spi": trial.spi, "proto": 50},
            "saddr": trial.source,
            "lft": {"hard_add_expires_seconds": TRIAL_LIFETIME},
            "reqid": REQID_BASE,
            "family": trial.family,
            "mode": c.XFRM_MODE_TUNNEL,
            "flags": c.XFRM_STATE_ESN | c.XFRM_STATE_AF_UNSPEC,
        }
        attributes = {
            "XFRMA_ALG_AEAD": {
                "alg_name": AEAD,
                "alg_key": os.urandom(36),
                "alg_icv_len": 128,
            },
            "XFRMA_REPLAY_ESN_VAL": {"replay_window": 32},
        }
        self._carry_out(
            [build(c.XFRM_MSG_NEWSA, {"info": info}, attributes)],
            "try an ESP security association with AES-GCM",
        )
        self.delete([trial])

    def take_inventory(self) -> EspInventory:
        """Return all SAs and policies that carry a reqid of ours."""
        inventory = EspInventory()
        with kernel_call("list SAs and policies", needs=NEEDS_ESP):
            request = build(c.XFRM_MSG_GETSA, {})
            for message in self._connection.dump(request, ANSWER_SIZE):
                found = read_found(message)
                if found.reqid > REQID_BASE:
                    inventory.associations[found.reqid].append(found)
            for message in self._connection.dump(build(c.XFRM_MSG_GETPOLICY, {})):
                policy = read_policy(message)
                if policy.reqid > REQID_BASE:
                    inventory.policies[policy.reqid].append(policy)
                elif policy.is_passing:
                    inventory.passing.add(policy.key)
        return inventory

    def read_policies(self) -> dict[PolicyKey, FoundPolicy]:
        """Return all policies, everybody's."""
        with kernel_call("list policies", needs=NEEDS_ESP):
            found = map(
                read_policy, self._connection.dump(build(c.XFRM_MSG_GETPOLICY, {}))
            )
            return {policy.key: policy for policy in found}

    def read_names(self) -> set[bytes]:
        """Return what names each SA there is: destination and SPI, as `name_of`."""
        with kernel_call("list SAs", needs=NEEDS_ESP):
            request = build(c.XFRM_MSG_GETSA, {})
            return {
                message[NAME_START:NAME_END]
                for message in self._connection.dump(request, NAME_END)
            }

    def install(
        self, pair: Pair, install: EpochInstall, *, reqid: int, if_id: int, encap: bool
    ) -> None:
        """Add both SAs of an epoch, or neither.

        Raises:
            DataPlaneError: The kernel refused one; the other was removed again.
        """
        requests = creations(pair, install, reqid=reqid, if_id=if_id, encap=encap)
        with kernel_call(
            f"install the SAs of tunnel {install.tunnel}, epoch {install.epoch}",
            needs=NEEDS_ESP,
        ):
            errors = self._connection.send(requests)
            if errors:
                refused = {error.position for error in errors}
                self.delete(
                    association
                    for position, association in enumerate(pair.associations())
                    if position not in refused
                )
                raise errors[0]

    def delete(self, associations: Iterable[Association]) -> None:
        """Delete SAs; those that are gone already do not matter."""
        self._carry_out(
            [association.deletion() for association in associations],
            "delete SAs",
            ignore=GONE,
        )

    def add_policy(self, rule: Rule, reqid: int, active: Association | None) -> None:
        """Add a policy.

        Raises:
            PlaneConflictError: One with the same selector is there.
        """
        self._carry_out(
            [policy_request(c.XFRM_MSG_NEWPOLICY, rule, reqid, active)],
            f"add the IPsec policy {rule.source} to {rule.destination}",
        )

    def update_policies(
        self, rules: Iterable[Rule], reqid: int, active: Association | None
    ) -> None:
        """Make policies send with an SA, or refuse to send; each change is atomic."""
        self._carry_out(
            [
                policy_request(c.XFRM_MSG_UPDPOLICY, rule, reqid, active)
                for rule in rules
            ],
            "update IPsec policies",
        )

    def delete_policies(self, rules: Iterable[Rule]) -> None:
        """Delete policies; those that are gone already do not matter."""
        self._carry_out(
            [policy_deletion(rule) for rule in rules],
            "delete IPsec policies",
            ignore=GONE,
        )

    def ask(self, associations: Sequence[Association]) -> list[bytes | None]:
        """Return what the kernel says of SAs, None for those that are gone."""
        if not associations:
            return []
        with kernel_call("read the counters of SAs"):
            return self._connection.ask(
                [bytearray(association.question) for association in associations],
                ANSWER_SIZE,
            )

    def _carry_out(
        self,
        requests: list[bytearray],
        action: str,
        *,
        ignore: frozenset[int] = frozenset(),
    ) -> None:
        if not requests:
            return
        with kernel_call(action, needs=NEEDS_ESP):
            for error in self._connection.send(requests):
                if error.errno not in ignore:
                    raise error
