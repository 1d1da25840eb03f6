"""How a database is brought to this version's tables, and compared with them."""
