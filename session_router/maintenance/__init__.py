"""The background jobs: one file a job, and the supervisor that owns their tasks."""
