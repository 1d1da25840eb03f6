"""Tables, types, engines and migrations."""
