"""What this program tells of itself: metrics and traces, each by an extra of its own."""
