"""Bytes to messages and back: layouts, limits, fragments."""
