"""Benchmarks: `make bench`, or `python -m benchmarks SUBJECT ... --json FILE`.

Every figure that has a goal is a ratio of two things measured in turns within one run, on a
PostgreSQL of the run's own with fsync on, so that it means the same on any machine. One module
a subject, named in `runner.SUBJECTS`; what they are compared with is in `peers/`, and what runs
in processes of its own in `children/`. A full run writes docs/benchmarks.md and its charts.
"""
