"""`session-router top`: what streams where, as it goes on."""
