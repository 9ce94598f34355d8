"""``python -m gateway.daemon``."""

from gateway.daemon.main import main

main()
