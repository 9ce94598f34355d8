"""Measures the figures of docs/performance.md: ``python -m benches``, or scripts/bench.

CPU figures read process clocks, not the wall: the machine may be busy with other
things. Each figure is a median of short batches, and what is compared with each other
is measured in turns, so that a change of clock frequency meets both.
"""
