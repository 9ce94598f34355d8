"""When keys change and what an epoch lives through: no I/O, time is an argument."""
