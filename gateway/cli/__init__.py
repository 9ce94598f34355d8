"""The command line `qgw`."""
