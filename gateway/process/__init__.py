"""What every long-running program of ours does with the system that runs it."""
