"""Rotation: the times of keys and the life of epochs. No I/O; time is an argument."""
