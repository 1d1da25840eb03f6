"""What runs in this process and nowhere else: its streams, its signals and its jobs."""
