"""The protocol machine: no socket, no clock, no await."""
