"""What benchmarks run in processes of their own: `python -m benchmarks.children.NAME`."""
