"""The service as `session-router serve` runs it: `python -m benchmarks.children.service URL N`.

N processes serve. It prints its address.
"""

import sys

from session_router.http import run
from session_router.settings import Settings


def main(url: str, workers: str) -> None:
    # Longer than any run, so that nothing of the population expires.
    lasting = {"database_url": url, "session_timeout_minutes": 1_440.0}
    run(Settings(**lasting, http_port=0, http_workers=int(workers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
