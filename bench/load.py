"""Mail in, and waiting for what follows."""

import subprocess
import sys
import time

from programs import ENVIRONMENT

MESSAGE_OCTETS = 4096
WAIT_MAX = 300


def send(port: int, sessions: int, count: int, sender: str = "a@example.org", octets: int = MESSAGE_OCTETS) -> None:
    """Sends `count` messages over `sessions` connections that stay open, with Postfix's load generator."""
    done = subprocess.run(
        ["smtp-source", "-d", "-s", str(sessions), "-m", str(count), "-l", str(octets),
         "-f", sender, "-t", "b@example.org", f"127.0.0.1:{port}"],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_MAX,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"smtp-source failed: {done.stderr.strip()}")


def rate(port: int, sessions: int, count: int) -> float:
    """Messages per second, each with its 250."""
    started = time.perf_counter()
    send(port, sessions, count)
    return count / (time.perf_counter() - started)


def wait_until(condition, meaning: str) -> None:
    deadline = time.perf_counter() + WAIT_MAX
    while not condition():
        if time.perf_counter() > deadline:
            raise SystemExit(f"waited {WAIT_MAX} s in vain until {meaning}")
        time.sleep(0.01)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
