"""The groups about the delivery engine: a backlog that drains, a provider of few calls, a million waiting, rules."""

import statistics
import subprocess
import time
from contextlib import ExitStack, contextmanager

import probes
from load import WAIT_MAX, send, wait_until
from programs import ENVIRONMENT

DRAINED = 20_000
PACED = 1_000
PACED_RATE = "2/s"
# Of a message in the large backlog: a million of them have to fit on a disk.
WAITING_OCTETS = 1024
FEW_WAITING = 1_000
# Mail of this domain waits for a provider that refuses the key; all other mail goes to one that works.
WAITING_SENDER = "app@waiting.example"
BESIDE = """
[[routes]]
name = "waiting"
sender_domain = ["waiting.example"]
providers = ["resend"]
[providers.good]
type = "resend"
api_key = "re_bench"
base_url = "http://127.0.0.1:{port}"
"""
# Everything that the engine can be told, with nothing that stops a message: ten routes that are looked at in vain, one that
# fits, a rate, quotas, and a second provider that is never needed.
RULES = (
    "".join(f'[[routes]]\nname = "domain{n}"\nsender_domain = ["a{n}.example", "*.b{n}.example"]\nproviders = ["spare"]\n' for n in range(4))
    + "".join(f'[[routes]]\nname = "recipient{n}"\nrecipient_domain = ["c{n}.example"]\nproviders = ["spare"]\n' for n in range(3))
    + "".join(f'[[routes]]\nname = "header{n}"\nheader = {{ name = "X-Kind", value = "kind{n}" }}\nproviders = ["spare"]\n' for n in range(3))
    + '[[routes]]\nname = "fits"\nsender_domain = ["example.org"]\nproviders = ["resend", "spare"]\n'
    + '[providers.spare]\ntype = "resend"\napi_key = "re_bench"\nbase_url = "http://127.0.0.1:{port}"\n'
)
LIMITS = 'rate = "1000000/s"\ndaily_quota = 1000000000\nmonthly_quota = 10000000000\n'


def drain(bench) -> None:
    """A backlog is worked off, beside fresh mail in the same round: one message a call, then in batches."""
    count = bench.count(DRAINED)
    with bench.delivering() as mailferry:
        bench.note("fresh", passed_on(bench, mailferry, count))
    for name, batch_max in (("drain", 1), ("drain batches", 100)):
        with waiting(bench, count, batch_max) as mailferry:
            mailferry.stop()
            mailferry.provider_port = bench.sink.port
            mailferry.start()
            started = time.perf_counter()
            wait_until(lambda: mailferry.waiting() == 0, "the backlog is drained")
            bench.note(name, count / (time.perf_counter() - started))
        bench.compare(f"{name} / fresh", name, "fresh")


def paced(bench) -> None:
    """A thousand messages through a provider that takes two calls a second."""
    with bench.delivering(batch_max=100, limits=f'rate = "{PACED_RATE}"\n', warm_up=2) as mailferry:
        started = time.perf_counter()
        send(mailferry.port, 16, PACED)
        wait_until(lambda: mailferry.waiting() == 0, "every message has left")
        bench.note("paced s", time.perf_counter() - started)


def rules(bench) -> None:
    """Routes, limits and quotas, against none of them; by turns."""
    count = bench.count(DRAINED)
    rules = RULES.replace("{port}", str(bench.sink.port))
    with bench.delivering() as plain, bench.delivering(limits=LIMITS, extra=rules) as full:
        for _ in range(2):
            for name, mailferry in (("rules none", plain), ("rules all", full)):
                cpu = probes.cpu_seconds(mailferry.pid)
                bench.note(name, passed_on(bench, mailferry, count))
                bench.note(f"{name} cpu per 1000", (probes.cpu_seconds(mailferry.pid) - cpu) * 1000 / count)
            bench.compare("rules all / none", "rules all", "rules none")


def million(bench) -> None:
    """Very many waiting for a provider that is closed: what a start, memory, /health and other mail notice of it."""
    many = bench.options.million
    with ExitStack() as running:
        idle = running.enter_context(beside(bench, 0))
        few = running.enter_context(beside(bench, FEW_WAITING))
        crowded = running.enter_context(beside(bench, many))
        for _ in range(5):
            crowded.stop()
            bench.note("start million ms", crowded.start() * 1000)
        for mailferry in (idle, few):
            mailferry.stop()
            mailferry.start()
        time.sleep(5)
        bench.note("rss million idle", probes.resident_mib(idle.pid))
        bench.note("rss million", probes.resident_mib(crowded.pid))
        bench.note("rss million above idle", bench.samples["rss million"][-1] - bench.samples["rss million idle"][-1])
        pair = (("few", few), ("million", crowded))
        for _, mailferry in pair:
            passed_on(bench, mailferry, 500)
        for _ in range(3):
            for what, run in (("passed on", passed_on), ("kept", kept)):
                for name, mailferry in pair:
                    count = bench.count(10_000)
                    cpu = probes.cpu_seconds(mailferry.pid)
                    bench.note(f"{what} {name}", run(bench, mailferry, count))
                    bench.note(f"{what} {name} cpu per 1000", (probes.cpu_seconds(mailferry.pid) - cpu) * 1000 / count)
                # What one message costs beside many, in time and in processor time.
                bench.compare(f"{what} cost", f"{what} few", f"{what} million")
                bench.compare(f"{what} cpu", f"{what} million cpu per 1000", f"{what} few cpu per 1000")
            for name, mailferry in pair:
                bench.note(f"health {name} ms", health_ms(mailferry))
            bench.compare("health million / few", "health million ms", "health few ms")
        bench.note("rss million busy", probes.resident_peak_mib(crowded.pid))


def passed_on(bench, mailferry, count: int) -> float:
    """Messages per second from the first byte to the provider's yes to the last."""
    requests, before = bench.sink.requests(), mailferry.waiting()
    started = time.perf_counter()
    send(mailferry.port, 16, count)
    wait_until(lambda: bench.sink.requests() >= requests + count, "the provider has every message")
    passed = count / (time.perf_counter() - started)
    wait_until(lambda: mailferry.waiting() <= before, "every delivery is settled")
    return passed


def kept(bench, mailferry, count: int) -> float:
    """Messages per second that join those that wait."""
    started = time.perf_counter()
    send(mailferry.port, 16, count, sender=WAITING_SENDER, octets=WAITING_OCTETS)
    return count / (time.perf_counter() - started)


def health_ms(mailferry) -> float:
    times = []
    for _ in range(100):
        started = time.perf_counter()
        mailferry.health()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


@contextmanager
def waiting(bench, count: int, batch_max: int):
    """So many messages have come in while the provider refused the key."""
    with bench.set_aside(batch_max=batch_max) as mailferry:
        left = count - mailferry.waiting()
        send(mailferry.port, 100, left)
        if mailferry.waiting() != count:
            raise SystemExit(f"{mailferry.waiting()} messages wait, {count} were expected")
        yield mailferry


@contextmanager
def beside(bench, count: int):
    """Other mail goes to a provider that works, while so many wait for one that is closed."""
    extra = BESIDE.replace("{port}", str(bench.sink.port))
    mailferry = bench.mailferry(bench.sink.refusing_port, delivery='batch_max = 1\nproviders = ["good"]', extra=extra)
    try:
        mailferry.start()
        if count:
            send(mailferry.port, 1, 1, sender=WAITING_SENDER, octets=WAITING_OCTETS)
            wait_until(lambda: mailferry.provider_state() == "misconfigured", "the provider is set aside")
            # By then it is back in the queue, with the way that it goes.
            time.sleep(1)
            mailferry.stop()
            fill(bench, mailferry, count - 1)
            mailferry.start()
            if mailferry.waiting() != count:
                raise SystemExit(f"{mailferry.waiting()} messages wait, {count} were expected")
        yield mailferry
    finally:
        bench.end(mailferry)


def fill(bench, mailferry, count: int) -> None:
    program = bench.example("bench-fill")
    command = [program, mailferry.queue.removeprefix("sqlite:"), str(count), str(WAITING_OCTETS)]
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=WAIT_MAX * 4)
