"""What can be watched from outside: metrics for Prometheus, and traces for OpenTelemetry."""
