"""Every fuzz target: what was found once stays right; some seconds of new inputs."""

import os
from importlib.util import find_spec

import pytest
from fuzzing.running import fuzz

from tests.fuzz.target import kept, load, names
from tests.underload.findings import tell

SECONDS = int(os.environ.get("QGW_FUZZ_SECONDS", "4"))
"""For each target: some 60 s for all, with the imports. `scripts/fuzz` takes longer."""

STRICT = os.environ.get("QGW_LANE_STRICT") == "1"
"""A lane takes the same inputs each time; looking for new ones is `scripts/fuzz`'s."""

needs_atheris = pytest.mark.skipif(
    find_spec("atheris") is None, reason="there is no atheris for this processor"
)


@pytest.mark.parametrize("name", names())
def test_seeds_and_findings(name: str) -> None:
    for called, data in kept(name):
        try:
            load(name).run(data)
        except Exception as error:
            error.add_note(f"{name}: {called}")
            tell(f"{name}: {called}")
            raise


@needs_atheris
@pytest.mark.may_skip("atheris has wheels for x86-64 alone")
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("name", names())
def test_new_inputs(name: str) -> None:
    run = fuzz(name, SECONDS, fixed=STRICT)
    if run.failed:  # other inputs might not find it again
        tell(f"{name}: {run.log}")
    assert not run.failed, run.log.read_text(errors="replace")[-4000:]
    assert run.branches > 20, "nothing of ours was instrumented"
    assert run.inputs > 20
