"""Observation of one daemon: its log, its status, and all that is not right."""
