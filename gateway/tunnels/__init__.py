"""One tunnel after another: its driver, its plane, its keys and what is remembered."""
