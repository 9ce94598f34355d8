"""The planner: held against a replay that goes key by key."""
