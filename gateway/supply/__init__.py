"""The supply of keys: links, and stocks kept filled and in step with the peer."""
