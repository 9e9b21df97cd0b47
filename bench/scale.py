"""The group about several instances on one PostgreSQL queue, against one on SQLite in the same sitting."""

import json
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import engine
import probes
from load import MESSAGE_OCTETS, WAIT_MAX, say, send, wait_until
from postgres import PostgreSQL, programs
from programs import ENVIRONMENT

# Instances on PostgreSQL; 0 is one on SQLite.
CASES = (0, 1, 2, 3)
# In all, whatever the number of instances.
SESSIONS = 48
MESSAGES = 20_000
# A lone client, whose 250 nothing shares.
LONE_PER_SECOND = 20
LONE_SECONDS = 15
# A backlog of which so many are claimed, delivered and settled; the rest goes on waiting.
CLAIMED = 10_000
FEW_WAITING = 1_000
PACE = Path(__file__).resolve().parent.parent / "target/bench/pace"


def run(bench) -> None:
    """Everything for one case, then for the next."""
    if programs() is None:
        say("PostgreSQL is not installed: skipped")
        return
    with PostgreSQL(bench.folder()) as postgres:
        for instances in CASES:
            accept(bench, postgres, instances)
            end_to_end(bench, postgres, instances)
            drain(bench, postgres, instances)
            if instances <= 1:
                lone(bench, postgres, instances)


def backlog(bench) -> None:
    """What a message of the backlog costs, from the claim to the settlement, beside few and beside very many that wait."""
    if programs() is None:
        say("PostgreSQL is not installed: skipped")
        return
    with PostgreSQL(bench.folder()) as postgres:
        for instances in (0, 1):
            for name, waiting in (("few", FEW_WAITING), ("million", bench.options.million)):
                worked_off(bench, postgres, instances, name, waiting)
            bench.compare(f"scale cost {instances}", f"scale cpu claimed million {instances}", f"scale cpu claimed few {instances}")


def accept(bench, postgres, instances: int) -> None:
    """Mail in, none out: the provider has refused the key."""
    with fleet(bench, postgres, instances, bench.sink.refusing_port) as relays:
        relays.send(200)
        for relay in relays.members:
            wait_until(lambda relay=relay: relay.provider_state() == "misconfigured", "the provider is set aside")
        with measured(bench, relays, "accept", bench.count(MESSAGES)) as count:
            relays.send(count)


def end_to_end(bench, postgres, instances: int) -> None:
    """From the first byte of the first message to the provider's yes to the last, and until all is settled."""
    with fleet(bench, postgres, instances, bench.sink.port) as relays:
        relays.send(200)
        wait_until(lambda: relays.waiting() == 0, "the warm-up is delivered")
        requests = bench.sink.requests()
        with measured(bench, relays, "through", bench.count(MESSAGES)) as count:
            relays.send(count)
            if instances:
                bench.note(f"scale connections {instances}", relays.connections())
            wait_until(lambda: bench.sink.requests() >= requests + count, "the provider has every message")
            wait_until(lambda: relays.waiting() == 0, "every delivery is settled")
        bench.note(f"scale calls per message {instances}", (bench.sink.requests() - requests) / count)


def drain(bench, postgres, instances: int) -> None:
    """A backlog is worked off by all of them together: each message is claimed by one."""
    count = bench.count(MESSAGES)
    with fleet(bench, postgres, instances, bench.sink.refusing_port) as relays:
        relays.send(200)
        wait_until(lambda: relays.members[0].provider_state() == "misconfigured", "the provider is set aside")
        relays.send(count - 200)
        relays.stop()
        for relay in relays.members:
            relay.provider_port = bench.sink.port
        # Their processor time counts from the start: it is theirs for this.
        with measured(bench, relays, "drain", count, running=False):
            relays.start()
            wait_until(lambda: relays.waiting() == 0, "the backlog is drained")


def lone(bench, postgres, instances: int) -> None:
    """How long one client that is alone waits for its 250."""
    with fleet(bench, postgres, instances, bench.sink.port) as relays:
        relays.send(200)
        seconds = max(3, LONE_SECONDS * bench.options.scale)
        command = [PACE, f"127.0.0.1:{relays.members[0].port}", str(LONE_PER_SECOND), str(seconds), "1", str(MESSAGE_OCTETS)]
        done = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=WAIT_MAX)
        times = json.loads(done.stdout)
        for share in ("p50", "p99"):
            bench.note(f"scale lone {share} ms {instances}", times[f"{share}_us"] / 1000)


def worked_off(bench, postgres, instances: int, name: str, waiting: int) -> None:
    claimed = bench.count(CLAIMED)
    with fleet(bench, postgres, instances, bench.sink.refusing_port) as relays:
        relay = relays.members[0]
        send(relay.port, 1, 1, sender=engine.WAITING_SENDER, octets=engine.WAITING_OCTETS)
        wait_until(lambda: relay.provider_state() == "misconfigured", "the provider is set aside")
        # By then it is back in the queue, with the way that it goes.
        time.sleep(1)
        relays.stop()
        say(f"  filling with {claimed + waiting:,}")
        engine.fill(bench, relay, claimed + waiting - 1)
        if relays.postgres:
            # As the daemon that does this by itself would have, some minutes later.
            relays.postgres.sql(relays.url.rpartition("/")[2].partition("?")[0], "VACUUM ANALYZE")
            relays.postgres.sql("postgres", "CHECKPOINT")
        relay.provider_port = bench.sink.port
        requests = bench.sink.requests()
        with measured(bench, relays, f"claimed {name}", claimed, running=False):
            relays.start()
            wait_until(lambda: bench.sink.requests() >= requests + claimed, "so many are delivered")


class Fleet:
    """Instances with one queue."""

    def __init__(self, members: list, postgres: PostgreSQL | None, url: str | None):
        self.members, self.postgres, self.url = members, postgres, url

    def start(self) -> None:
        for member in self.members:
            member.start()

    def stop(self) -> None:
        for member in self.members:
            member.stop()

    def send(self, count: int) -> None:
        """Over connections to each of them, at the same time."""
        share = len(self.members)
        with ThreadPoolExecutor(share) as clients:
            counts = [count // share + (n < count % share) for n in range(share)]
            sent = [
                clients.submit(send, member.port, min(SESSIONS // share, own), own)
                for member, own in zip(self.members, counts, strict=True)
            ]
            for one in sent:
                one.result()

    def waiting(self) -> int:
        """Any of them knows it."""
        return self.members[0].waiting()

    def cpu_seconds(self) -> tuple[float, float]:
        """Of the instances, and of the database."""
        own = sum(probes.cpu_seconds(member.pid) for member in self.members if member.process)
        return own, self.postgres.cpu_seconds() if self.postgres else 0.0

    def connections(self) -> float:
        """To the database, for each instance."""
        open_now = self.postgres.sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'bench%'")
        return int(open_now) / len(self.members)


@contextmanager
def fleet(bench, postgres: PostgreSQL, instances: int, provider_port: int):
    """So many on an empty database; 0 is one on an empty file."""
    if instances == 0:
        member = bench.mailferry(provider_port)
        try:
            member.start()
            yield Fleet([member], None, None)
        finally:
            bench.end(member)
        return
    with postgres.database() as url:
        members = [bench.mailferry(provider_port, queue=url) for _ in range(instances)]
        try:
            relays = Fleet(members, postgres, url)
            relays.start()
            yield relays
        finally:
            for member in members:
                bench.end(member)


@contextmanager
def measured(bench, relays: Fleet, what: str, count: int, running: bool = True):
    """Notes the rate, and the processor time of the instances and of the database for a thousand messages. The instances of a
    case that is not `running` start within."""
    case = len(relays.members) if relays.postgres else 0
    own, databases = relays.cpu_seconds() if running else (0.0, relays.cpu_seconds()[1])
    started = time.perf_counter()
    yield count
    seconds = time.perf_counter() - started
    own_after, databases_after = relays.cpu_seconds()
    bench.note(f"scale {what} {case}", count / seconds)
    instances, database = (own_after - own) * 1000 / count, (databases_after - databases) * 1000 / count
    bench.note(f"scale cpu {what} instances {case}", instances)
    bench.note(f"scale cpu {what} database {case}", database)
    bench.note(f"scale cpu {what} {case}", instances + database)
    if case:
        bench.compare(f"scale {what} {case} / sqlite", f"scale {what} {case}", f"scale {what} 0")
        bench.compare(f"scale cpu {what} {case} / sqlite", f"scale cpu {what} {case}", f"scale cpu {what} 0")


# figure, sample, unit
FIGURES = (
    ("accept", "accept", "/s"),
    ("end to end", "through", "/s"),
    ("backlog drained", "drain", "/s"),
    ("CPU per 1,000 accepted", "cpu accept", "s"),
    ("of it the database", "cpu accept database", "s"),
    ("CPU per 1,000 end to end", "cpu through", "s"),
    ("of it the database", "cpu through database", "s"),
    ("CPU per 1,000 drained", "cpu drain", "s"),
    ("of it the database", "cpu drain database", "s"),
    ("calls to the provider per message", "calls per message", ""),
    ("connections to the database, each instance", "connections", ""),
    ("250 of a lone client, p50", "lone p50 ms", "ms"),
    ("250 of a lone client, p99", "lone p99 ms", "ms"),
    ("{claimed:,} of {few:,} claimed to settled", "claimed few", "/s"),
    ("{claimed:,} of {million:,} claimed to settled", "claimed million", "/s"),
    ("CPU per 1,000 of them, {few:,} waiting", "cpu claimed few", "s"),
    ("of it the database", "cpu claimed few database", "s"),
    ("CPU per 1,000 of them, {million:,} waiting", "cpu claimed million", "s"),
    ("of it the database", "cpu claimed million database", "s"),
)


def table(bench) -> str:
    """All cases side by side: the median, and in brackets that of the ratios to SQLite; nothing where it was not measured."""
    samples, options = bench.samples, bench.options
    if not any(name.startswith("scale ") for name in samples):
        return ""
    lines = [
        "",
        f"Several instances on PostgreSQL, {SESSIONS} sessions in all: median (ratio to SQLite).",
        "",
        "| figure | SQLite | " + " | ".join(f"{n} instance{'s' * (n > 1)}" for n in CASES[1:]) + " |",
        "|---|" + "---|" * len(CASES),
    ]
    claimed = bench.count(CLAIMED)
    for figure, name, unit in FIGURES:
        cells = []
        for case in CASES:
            values, ratios = samples.get(f"scale {name} {case}"), samples.get(f"scale {name} {case} / sqlite")
            cell = show(statistics.median(values), unit) if values else ""
            cells.append(f"{cell} ({statistics.median(ratios):.2g})" if ratios else cell)
        if any(cells):
            few, million = claimed + FEW_WAITING, claimed + options.million
            lines.append(f"| {figure.format(claimed=claimed, few=few, million=million)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def show(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number}{unit if unit.startswith('/') or not unit else ' ' + unit}"
