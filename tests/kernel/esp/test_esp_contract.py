"""The contract of all planes, over ESP in a real kernel."""

import pytest

from tests.dataplane_contract import DataPlaneContract
from tests.kernel.esp.sites import IN_FORCE_LIMIT, Pair
from tests.kernel.pace import TEST_LIMIT

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(TEST_LIMIT)]


class TestContract(DataPlaneContract):
    in_force_limit = IN_FORCE_LIMIT

    @pytest.fixture
    def ends(self, pair: Pair) -> Pair:
        return pair
