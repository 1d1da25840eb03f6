"""The command line: `python -m benchmarks [SUBJECT ...] [--json FILE] [--quick]`."""

import argparse
import sys
from pathlib import Path

from benchmarks.runner import SUBJECTS, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep the results")
    parser.add_argument("--quick", action="store_true", help="a rehearsal: too few samples")
    given = parser.parse_args()
    if unknown := set(given.subjects) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    names = given.subjects or list(SUBJECTS)
    sys.exit(0 if run(names, quick=given.quick, into=given.json) else 1)


if __name__ == "__main__":
    main()
