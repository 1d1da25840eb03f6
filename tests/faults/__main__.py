"""`python -m tests.faults`: a load, a storm over it, and whether all is well afterwards.

Three workers, on ids that they share, reach a PostgreSQL with a synchronous standby through a
proxy. Servers are killed, connections cut or silenced, workers killed or paused, and the standby
takes over in the middle. Two leases after that nothing may be left of the dead, nothing that was
acknowledged may be missing, and no caller or log may have met a foreign error. Ends with 1 where
something was found; the journals stay in build/faults.
"""

import argparse
import asyncio
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.faults.findings import told
from tests.faults.run import Outcome, run

_FOLDER: Final = Path("build/faults")
_SHORT_SEC: Final = 75.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Load with faults of all kinds.")
    parser.add_argument("--seconds", type=float, default=_SHORT_SEC, help="how long it storms")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    options = parser.parse_args()
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)
    _say(f"{options.seconds:g} s of faults, --seed {options.seed}; journals in {_FOLDER}")
    outcome = asyncio.run(run(options.seconds, options.seed, _FOLDER))
    for line in _report(outcome):
        _say(line)
    return 1 if outcome.found else 0


def _report(outcome: Outcome) -> Iterator[str]:
    yield f"blows: {_counts(outcome.blows)}"
    yield f"{outcome.streams} streams; calls, by what came of them:"
    by_name: dict[str, Counter[str]] = {}
    for call in outcome.journals.calls:
        by_name.setdefault(call.name, Counter())[call.came_to] += 1
    for name, counts in sorted(by_name.items()):
        yield f"    {name}: {_counts(counts)}"
    logged = Counter(entry["event"] for _, entry in outcome.journals.logged)
    yield f"logged as warnings and errors: {_counts(logged)}"
    yield from told(outcome.found)
    yield "nothing found" if not outcome.found else f"{len(outcome.found)} faults found"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.most_common())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
