"""Keys, and what a caller may do with them."""
