"""Several ip commands in one process, for kernels in which each process costs 0.1 s."""

import subprocess


def run_ip(*lines: str, namespace: str | None = None) -> None:
    """Run the commands, each without the word ``ip``, up to the first that fails.

    Raises:
        AssertionError: One failed; the message has what it said.
    """
    inside = ("-n", namespace) if namespace else ()
    done = subprocess.run(  # noqa: S603  # commands of the tests
        ("ip", *inside, "-batch", "-"),  # noqa: S607  # wherever the system has it
        input="\n".join(lines),
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, f"{lines}: {done.stderr}"
