"""The composition root: the one place that wires things together."""
