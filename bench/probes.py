"""What is read from the machine: the disk's speed, processor time, memory, free ports."""

import os
import socket
import time
from pathlib import Path

MIB = 1024 * 1024
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def fdatasyncs_per_second(folder: Path, seconds: float = 1.0) -> float:
    """How often 4 KiB can be appended and made durable: the floor under every honest 250."""
    path = folder / "fdatasync"
    block = os.urandom(4096)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        count = 0
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            os.write(handle, block)
            os.fdatasync(handle)
            count += 1
        return count / (time.perf_counter() - start)
    finally:
        os.close(handle)
        path.unlink()


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far, all threads."""
    # The second field is the name in parentheses, and may contain anything: count from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def cpu_seconds_of_family(pid: int) -> float:
    """Of the process, of its children, and of those that have ended (what their parent has been told of them)."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            # It has ended meanwhile; the next look finds it with its parent.
            continue
        own = int(stat.parent.name) == pid
        if own or int(fields[1]) == pid:
            total += sum(map(int, fields[11:15] if own else fields[11:13]))
    return total / TICKS_PER_SECOND


def resident_mib(pid: int) -> float:
    """Resident memory now."""
    return _status_kib(pid, "VmRSS") / 1024


def resident_peak_mib(pid: int) -> float:
    """The most resident memory that the process ever had."""
    return _status_kib(pid, "VmHWM") / 1024


def _status_kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(f"/proc/{pid}/status has no {name}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_greeting(port: int, timeout: float) -> float:
    """Waits until an SMTP server greets on this port, and returns when (time.perf_counter)."""
    return _wait(port, b"", b"220", timeout)


def wait_for_http(port: int, timeout: float) -> float:
    """Waits until an HTTP server answers on this port, whatever it says."""
    return _wait(port, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/", timeout)


def _wait(port: int, question: bytes, answer: bytes, timeout: float) -> float:
    deadline = time.perf_counter() + timeout
    while time.perf_counter() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(question)
                if client.recv(64).startswith(answer):
                    return time.perf_counter()
        except OSError:
            pass
        time.sleep(0.0005)
    raise TimeoutError(f"nobody answers on port {port} after {timeout} s")


def machine() -> str:
    """The machine in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} × {model}, Linux {os.uname().release}"
