"""Facts that an operator, a metric or an auditor may want, and the bus they go by."""
