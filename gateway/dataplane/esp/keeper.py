"""The record of which tunnel's policies are in the kernel."""

from collections.abc import Iterable, Mapping

from gateway.dataplane.esp.database import Database, EspInventory
from gateway.dataplane.esp.policies import expected_policy
from gateway.dataplane.esp.rules import PolicyKey, Purpose, Rule
from gateway.dataplane.esp.tunnel import EspTunnel
from gateway.errors import GatewayError


class PolicyKeeper:
    """Adds and deletes policies, and never one that is not ours or still needed.

    Attributes:
        moving: Policies that one tunnel is about to take from another one: they are
            replaced, each in one step, and not deleted in between.
    """

    def __init__(
        self,
        database: Database,
        inventory: EspInventory,
        tunnels: Mapping[str, EspTunnel],
    ) -> None:
        self._database = database
        self._inventory = inventory
        self._tunnels = tunnels
        self.moving: frozenset[PolicyKey] = frozenset()

    def settle(self, tunnel: EspTunnel, there: set[PolicyKey]) -> None:
        """Add policies that are missing, and bring those that are there up to date."""
        active = tunnel.sending
        there = there | self.moving
        added: list[Rule] = []
        try:
            for rule in tunnel.rules:
                if not (rule.key in there or self._is_shared(rule, tunnel)):
                    self._database.add_policy(rule, tunnel.reqid, active)
                    added.append(rule)
        except GatewayError:
            self._database.delete_policies(added)
            raise
        self._database.update_policies(
            [rule for rule in tunnel.rules if rule.key in there],
            tunnel.reqid,
            active,
        )

    def find_changed(self) -> list[str]:
        """Name the tunnels whose policies somebody changed or removed."""
        there = self._database.read_policies()
        return [
            name
            for name, tunnel in self._tunnels.items()
            if any(
                there.get(rule.key)
                != expected_policy(rule, tunnel.reqid, tunnel.sending)
                for rule in tunnel.rules
            )
        ]

    def set_again(self, name: str) -> None:
        """Put back a tunnel's policies, in one call: a single one missing is a gap."""
        tunnel = self._tunnels[name]
        self._database.update_policies(tunnel.rules, tunnel.reqid, tunnel.sending)

    def _is_shared(self, rule: Rule, tunnel: EspTunnel) -> bool:
        """Return whether a policy is in the kernel for another tunnel.

        Those that let packets of our own networks through may serve many.
        """
        if rule.purpose is not Purpose.PASS:
            return False
        return rule.key in self._inventory.passing or any(
            rule in other.rules
            for other in self._tunnels.values()
            if other.spec.name != tunnel.spec.name
        )

    def drop(self, rules: Iterable[Rule], keep: Iterable[Rule] = ()) -> None:
        """Delete policies that neither `keep` nor any other tunnel has."""
        kept = {rule.key for rule in keep} | self.moving
        for tunnel in self._tunnels.values():
            kept.update(r.key for r in tunnel.rules if r.purpose is Purpose.PASS)
        going = [rule for rule in rules if rule.key not in kept]
        self._database.delete_policies(going)
        self._inventory.passing.difference_update(rule.key for rule in going)
