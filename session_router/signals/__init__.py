"""How a signal in the outbox reaches the stream that it is to stop."""
