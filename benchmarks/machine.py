"""Where a run took place: the machine, the server and its settings, the versions."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.bench import Bench, connected

_SETTINGS: Final = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "max_connections",
)
_PACKAGES: Final = ("sqlalchemy", "asyncpg", "uvloop", "aiosqlite")


async def surroundings(bench: Bench) -> dict[str, Any]:
    async with connected(bench.server.url()) as connection:
        postgresql = await connection.fetchval("SHOW server_version")
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in _SETTINGS}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": bench.quick,
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
        "postgresql": postgresql,
        "settings": settings,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    """The name on the processor, where Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
