"""The lanes of the tests: what each runs, in which kernel, and how it ended."""
