"""Passes of satellites over stations, and the keys that they give.

Pure: the only I/O is reading a TLE file; time is an argument everywhere, in UTC seconds
since 1970 (what `datetime.timestamp()` gives). **Simulated**: what comes out are times
and counts of bits, never keys. docs/satellite.md describes the model.
"""
