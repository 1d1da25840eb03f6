"""A real PgBouncer before a PostgreSQL server, pooling by the transaction."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

_CONFIG = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 5
max_client_conn = 200
"""


@contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """The URL by which `url` is reached through PgBouncer.

    There is no wheel of it: a developer without it is told so, but CI must have it.
    """
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("pgbouncer is not installed; .ci/run installs it")
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    direct = make_url(url)
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        own_port = probe.getsockname()[1]
        probe.close()
        (folder / "users.txt").write_text(f'"{direct.username}" "{direct.password}"\n')
        config = folder / "pgbouncer.ini"
        config.write_text(
            _CONFIG.format(host=direct.host, port=direct.port, own_port=own_port, folder=folder)
        )
        # PgBouncer refuses to run as root.
        user = "nobody" if os.geteuid() == 0 else None
        folder.chmod(0o755)
        process = subprocess.Popen([program, str(config)], stderr=subprocess.DEVNULL, user=user)
        try:
            _wait_until_open(own_port, process)
            yield direct.set(port=own_port).render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait()


def _wait_until_open(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None, "pgbouncer ended"
            assert time.monotonic() < deadline, "pgbouncer does not answer"
            time.sleep(0.01)
        else:
            return
