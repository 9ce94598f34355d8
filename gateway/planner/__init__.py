"""The outlook on keys: passes, stocks and schedules of the coming days.

Pure but for reading the plan's file: the start of the span is an argument, the weather
is drawn from a seed, and what comes out are times, counts and probabilities, never
keys. docs/plan.md has the assumptions and formulas.
"""
