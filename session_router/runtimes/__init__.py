"""Adapters for runtimes that lack a part of the seam."""
