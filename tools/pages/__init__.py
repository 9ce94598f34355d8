"""Pages of docs/ that are made from the product, so that they cannot differ from it."""
