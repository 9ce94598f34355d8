"""Passes, weather, keys: against what is known elsewhere."""
