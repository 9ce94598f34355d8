"""The plane ``wireguard``; the cases are in tests/kernel/wireguard/cases.py."""

import pytest

from tests.kernel.pace import TEST_LIMIT
from tests.kernel.wireguard import cases

pytestmark = pytest.mark.timeout(2 * TEST_LIMIT)

KIND = "wireguard"


class TestContract(cases.ContractCases):
    kind = KIND


class TestRotation(cases.RotationCases):
    kind = KIND


class TestLoss(cases.LossCases):
    kind = KIND


class TestFailClosed(cases.FailClosedCases):
    kind = KIND


class TestAdoption(cases.AdoptionCases):
    kind = KIND


class TestOwnership(cases.OwnershipCases):
    kind = KIND


class TestHeld(cases.HeldCases):
    kind = KIND
