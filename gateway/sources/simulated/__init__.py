"""A simulated link: keys from a shared seed, **not** quantum keys."""
