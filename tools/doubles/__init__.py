"""Test doubles: what stands in for a kernel or a pair of KMEs, in tests and benches."""
