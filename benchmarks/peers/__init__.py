"""Others that do the same work: what a benchmark's subject is compared with."""
