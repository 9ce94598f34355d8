"""The process that fuzzes: our code instrumented, then libFuzzer until its time is up.

``python -m fuzzing.child TARGET [FOLDER ...] [-libfuzzer_option ...]``
"""

import sys

import atheris


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    program, name, *rest = sys.argv
    with atheris.instrument_imports(include=["gateway", "tomllib"]):
        from tests.fuzz.target import load  # noqa: PLC0415  # instrumented

        target = load(name)
    atheris.Setup([program, *rest], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
