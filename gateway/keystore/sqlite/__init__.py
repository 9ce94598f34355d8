"""The embedded key store, in one SQLite file."""
