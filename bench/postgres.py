"""A PostgreSQL server of the bench's own: Debian's program, with its own data on the disk that is measured."""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import probes
from programs import ENVIRONMENT, START_TIMEOUT, STOP_TIMEOUT, Program

# Where Debian has it, a folder for each version.
VERSIONS = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of the newest version's programs."""
    found = [folder / "bin" for folder in VERSIONS.glob("*") if (folder / "bin/initdb").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


class PostgreSQL(Program):
    """With its own defaults, which are safe: fsync and synchronous_commit are on."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.programs = programs()
        self.port = probes.free_port()
        self.data = folder / "data"
        self.databases = 0

    def command(self):
        return [*self._as_user(), str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder),
                "-c", "listen_addresses=127.0.0.1"]  # fmt: skip

    def start(self):
        if not self.data.exists():
            if os.geteuid() == 0:
                # It does not run as the superuser.
                shutil.chown(self.folder, "postgres", "postgres")
            self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D", self.data)
        return super().start()

    def wait_until_ready(self):
        deadline = time.perf_counter() + START_TIMEOUT
        while time.perf_counter() < deadline:
            command = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(command, env=ENVIRONMENT, timeout=START_TIMEOUT).returncode == 0:
                return time.perf_counter()
            time.sleep(0.01)
        raise TimeoutError("PostgreSQL does not start")

    def stop(self):
        # SIGTERM would wait for clients; there are none that matter.
        if self.process is not None and self.data.exists():
            self._run("pg_ctl", "stop", "--wait", "--mode", "fast", "-D", self.data)
            self.process.wait(STOP_TIMEOUT)
            self.process = None

    @contextmanager
    def database(self):
        """The URL of an empty database, which is dropped at the end."""
        self.databases += 1
        name = f"bench_{self.databases}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        try:
            yield f"postgres://postgres@127.0.0.1:{self.port}/{name}?sslmode=disable"
        finally:
            self.sql("postgres", f"DROP DATABASE {name} WITH (FORCE)")
            # What the database before has left to be written is not the next one's.
            self.sql("postgres", "CHECKPOINT")

    def sql(self, database: str, sql: str) -> str:
        command = [self.programs / "psql", "--no-psqlrc", "-qtA", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
                   "--set=ON_ERROR_STOP=1", "-d", database, "-c", sql]  # fmt: skip
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise SystemExit(f"{sql}: {done.stderr.strip()}")
        return done.stdout.strip()

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far, those that have ended included."""
        return probes.cpu_seconds_of_family(self.pid)

    def _run(self, program: str, *arguments) -> None:
        command = [*self._as_user(), str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, env=ENVIRONMENT, cwd=self.folder, capture_output=True, text=True, timeout=STOP_TIMEOUT)
        if done.returncode != 0:
            raise SystemExit(f"{program} failed: {done.stderr.strip()}")

    @staticmethod
    def _as_user() -> list[str]:
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
