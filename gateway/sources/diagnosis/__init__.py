"""The steps of a KME's diagnosis, each explaining what it finds."""
