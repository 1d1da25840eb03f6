"""What can be watched from outside: metrics for Prometheus, of the extra `metrics`."""
