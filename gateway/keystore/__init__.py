"""The stock of one-time QKD keys."""
