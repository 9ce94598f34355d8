"""The journal's words: each event as a line, at a level that says whether to worry."""
