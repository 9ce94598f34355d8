"""Sources of QKD keys."""
