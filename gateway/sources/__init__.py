"""Where QKD keys come from."""
