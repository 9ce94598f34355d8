"""The operator's configuration, as frozen typed objects."""
