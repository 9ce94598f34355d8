"""The requests at the control socket: a module for each family."""
