"""What the operator wrote, as frozen typed objects."""
