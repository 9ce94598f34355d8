"""What the demos judge by."""
