"""Measures, compares and prints. Started by bench/run, which has installed and built what this needs."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import engine
import http_side
import large
import probes
import scale
from load import MESSAGE_OCTETS, WAIT_MAX, rate, say, send, wait_until
from programs import ENVIRONMENT, Certificate, Floor, Mailferry, Postfix, ProviderSink

REPOSITORY = Path(__file__).resolve().parent.parent
SESSIONS = (1, 16, 100)
PACE_PER_SECOND = 200
IDLE_CONNECTIONS = 1_000
LARGE_OCTETS = 25 * 1024 * 1024
# What ARCHITECTURE.md promises: 256 MiB of delivery, 75 MiB of sessions, over a process that does nothing.
LARGE_BUDGET_MIB = 256 + 75


def main() -> None:
    options = arguments()
    work = Path(tempfile.mkdtemp(prefix="mailferry-bench.", dir=options.dir))
    # Postfix's and nginx's unprivileged processes must be able to walk through it.
    work.chmod(0o755)
    try:
        bench = Bench(options, work)
        bench.run()
        print(bench.table())
        if options.json:
            Path(options.json).write_text(json.dumps(bench.samples, indent=1) + "\n")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures mailferry; see bench/README.md.")
    parser.add_argument("--quick", action="store_true", help="two short rounds and a tenth of the backlog")
    parser.add_argument("--rounds", type=int, help="rounds of interleaved runs (default: 5, quick: 2)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="measure these groups only")
    parser.add_argument("--binary", type=Path, help="measure this program instead of building target/release/mailferry")
    parser.add_argument("--million", type=int, help="how many wait in the group million (default: 1,000,000, quick: 20,000)")
    parser.add_argument("--dir", default="/var/tmp", help="where stores and queues go: the disk that is measured (default: /var/tmp)")
    parser.add_argument("--json", metavar="FILE", help="also write every sample there")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.backlog = 10_000 if options.quick else 100_000
    options.million = options.million or (20_000 if options.quick else 1_000_000)
    options.scale = 0.25 if options.quick else 1.0
    options.binary = (options.binary or REPOSITORY / "target/release/mailferry").resolve()
    if not options.binary.exists():
        parser.error(f"{options.binary} does not exist")
    return options


class Bench:
    """All runs of one sitting, and what they gave."""

    def __init__(self, options: argparse.Namespace, work: Path):
        self.options = options
        self.work = work
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.folders = 0
        self.certificate = Certificate(work)

    def run(self) -> None:
        with Floor(self.folder()) as self.floor, ProviderSink(self.folder()) as self.sink:
            for round_number in range(self.options.rounds):
                for name, group in GROUPS.items():
                    if name in self.options.only and (group not in ONCE or round_number == 0):
                        say(f"round {round_number + 1} of {self.options.rounds}: {name}")
                        group(self)

    # The groups: what is compared with each other is measured side by side, once in every round.

    def accept(self) -> None:
        """Mail in, none out: the provider refuses the key, so mailferry sets it aside and keeps the mail."""
        for sessions in SESSIONS:
            count = self.count(3_000 if sessions == 1 else 20_000)
            self.note(f"floor {sessions}", rate(self.floor.port, sessions, count))
            with self.set_aside() as mailferry:
                self.note(f"accept {sessions}", rate(mailferry.port, sessions, count))
        self.compare_each("accept {0} / floor", "accept {0}", "floor {0}", SESSIONS)

    def postfix(self) -> None:
        """The same load on Postfix, its queue on the same disk."""
        if os.geteuid() != 0:
            say("not root: Postfix does not start, skipped")
            return
        count = self.count(20_000)
        with self.set_aside() as mailferry:
            self.note("accept beside postfix", rate(mailferry.port, 16, count))
        for keeping in Postfix.KEEPING:
            with Postfix(self.folder(), keeping, self.certificate) as postfix:
                send(postfix.port, 16, 200)
                self.note(f"postfix {keeping}", rate(postfix.port, 16, self.count(3_000)))
        self.compare_each("accept / postfix {0}", "accept beside postfix", "postfix {0}", Postfix.KEEPING)

    def end_to_end(self) -> None:
        """From the first byte of the first message to the provider's yes to the last."""
        count = self.count(20_000)
        self.note("floor beside end to end", rate(self.floor.port, 16, count))
        with self.delivering() as mailferry:
            requests, cpu = self.sink.requests(), probes.cpu_seconds(mailferry.pid)
            started = time.perf_counter()
            send(mailferry.port, 16, count)
            wait_until(lambda: self.sink.requests() >= requests + count, "the provider has every message")
            self.note("end to end", count / (time.perf_counter() - started))
            wait_until(lambda: mailferry.waiting() == 0, "every delivery is settled")
            self.note("cpu per 1000", (probes.cpu_seconds(mailferry.pid) - cpu) * 1000 / count)
            self.note("rss peak end to end", probes.resident_peak_mib(mailferry.pid))
            self.note("calls per message", (self.sink.requests() - requests) / count)
        self.compare("end to end / floor", "end to end", "floor beside end to end")

    def pace(self) -> None:
        """How long a 250 takes while nothing is short: 200 messages a second, delivered behind."""
        self.note("fdatasync", probes.fdatasyncs_per_second(self.work))
        with self.delivering() as mailferry:
            output = subprocess.run(
                [REPOSITORY / "target/bench/pace", f"127.0.0.1:{mailferry.port}", str(PACE_PER_SECOND),
                 str(20 * self.options.scale), "16", str(MESSAGE_OCTETS)],
                env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=WAIT_MAX,
            ).stdout  # fmt: skip
            pace = json.loads(output)
            self.note("rss peak pace", probes.resident_peak_mib(mailferry.pid))
        self.note("fdatasync", probes.fdatasyncs_per_second(self.work))
        disk = statistics.mean(self.samples["fdatasync"][-2:])
        for share in ("p50", "p99"):
            self.note(f"250 {share} ms", pace[f"{share}_us"] / 1000)
            self.note(f"250 {share} in fdatasyncs", pace[f"{share}_us"] / 1e6 * disk)

    def start(self) -> None:
        """An empty store: time to the greeting, and the memory of a process that does nothing."""
        for certificate, name in ((None, "start empty ms"), (self.certificate, "start tls ms")):
            mailferry = self.mailferry(self.sink.port, certificate)
            try:
                self.note(name, mailferry.start() * 1000)
                if not certificate:
                    time.sleep(2)
                    self.note("rss idle", probes.resident_mib(mailferry.pid))
            finally:
                self.end(mailferry)

    def backlog(self) -> None:
        """A provider set aside and everything waiting: memory, and how long a restart takes."""
        with self.set_aside() as mailferry:
            send(mailferry.port, 100, self.options.backlog)
            waiting = mailferry.waiting()
            if waiting < self.options.backlog:
                raise SystemExit(f"{waiting} messages wait, {self.options.backlog} were expected")
            time.sleep(5)
            self.note("rss after filling", probes.resident_mib(mailferry.pid))
            for _ in range(5):
                mailferry.stop()
                self.note("start backlog ms", mailferry.start() * 1000)
            time.sleep(5)
            self.note("rss backlog", probes.resident_mib(mailferry.pid))

    def tls(self) -> None:
        """Whole visits with a handshake in each, and what TLS costs a message on a connection that stays open."""
        seconds = 5 * self.options.scale
        with self.set_aside(self.certificate) as mailferry:
            self.note("tls visits", self.visits(mailferry.port, "starttls", seconds))
            self.note("plain visits", self.visits(mailferry.port, "plain", seconds))
            for mode in ("plain", "starttls"):
                count = self.count(16_000)
                cpu = probes.cpu_seconds(mailferry.pid)
                sent = self.secure("messages", mailferry.port, mode, 16, count, MESSAGE_OCTETS)
                self.note(f"messages {mode}", sent["per_second"])
                self.note(f"cpu per 1000 {mode}", (probes.cpu_seconds(mailferry.pid) - cpu) * 1000 / count)
        self.compare("messages starttls / plain", "messages starttls", "messages plain")
        self.note("cpu of tls", self.samples["cpu per 1000 starttls"][-1] - self.samples["cpu per 1000 plain"][-1])
        if os.geteuid() == 0:
            with Postfix(self.folder(), "held", self.certificate) as postfix:
                self.note("tls visits postfix", self.visits(postfix.port, "starttls", seconds))
            self.compare("tls visits / postfix", "tls visits", "tls visits postfix")

    def visits(self, port: int, mode: str, seconds: float) -> float:
        return self.secure("connections", port, mode, 4, seconds)["per_second"]

    def idle(self) -> None:
        """A thousand connections that have said EHLO and no more."""
        for mode in ("plain", "starttls"):
            mailferry = self.mailferry(self.sink.port, self.certificate)
            try:
                mailferry.start()
                command = self.secure_command("idle", mailferry.port, mode, IDLE_CONNECTIONS)
                with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
                    client.stdout.readline()
                    time.sleep(2)
                    connected = mailferry.health()["smtp"]["connections"]
                    if connected != IDLE_CONNECTIONS:
                        raise SystemExit(f"{connected} connections are open, {IDLE_CONNECTIONS} were expected")
                    self.note(f"rss idle connections {mode}", probes.resident_mib(mailferry.pid))
                    client.stdin.close()
                    client.wait(WAIT_MAX)
            finally:
                self.end(mailferry)

    def memory_large(self) -> None:
        """Messages of 25 MiB over 16 sessions while eight calls may be in flight: the highest memory."""
        count = max(16, self.count(48))
        with self.delivering() as mailferry:
            requests = self.sink.requests()
            idle = probes.resident_mib(mailferry.pid)
            large.send(mailferry.port, 16, count, LARGE_OCTETS)
            wait_until(lambda: self.sink.requests() >= requests + count, "the provider has every large message")
            wait_until(lambda: mailferry.waiting() == 0, "every large delivery is settled")
            self.note("rss peak large", probes.resident_peak_mib(mailferry.pid))
            self.note("rss above idle large", self.samples["rss peak large"][-1] - idle)

    def convert(self) -> None:
        """From the bytes to the body of a request, in one thread, beside two programs that do about the same."""
        ours = json.loads(self.output([REPOSITORY / "target/release/examples/bench-convert", str(self.options.scale)]))
        theirs = {
            "python": json.loads(self.output([sys.executable, REPOSITORY / "bench/convert.py", str(self.options.scale)])),
        }
        if (REPOSITORY / "target/bench/node_modules/mailparser").is_dir():
            command = ["node", REPOSITORY / "bench/convert.cjs", str(self.options.scale)]
            theirs["node"] = json.loads(self.output(command))
        for letter in ("alternative", "attachment"):
            for provider, rate in ours[letter].items():
                self.note(f"convert {letter} {provider}", rate)
            for program, rates in theirs.items():
                self.note(f"convert {letter} {program}", rates[letter])
                self.compare(f"convert {letter} / {program}", f"convert {letter} resend", f"convert {letter} {program}")
        # Of all that the process does for a message, from the SMTP session to the settlement.
        count = self.count(20_000)
        with self.delivering() as mailferry:
            cpu = probes.cpu_seconds(mailferry.pid)
            send(mailferry.port, 16, count)
            wait_until(lambda: mailferry.waiting() == 0, "every delivery is settled")
            whole = (probes.cpu_seconds(mailferry.pid) - cpu) / count
        own = ours["alternative octets"] / (ours["alternative"]["resend"] * 1e6)
        self.note("convert share", 100 * own / whole)

    def output(self, command: list) -> str:
        done = subprocess.run(
            list(map(str, command)), env={**ENVIRONMENT, "NODE_PATH": str(REPOSITORY / "target/bench/node_modules")},
            capture_output=True, text=True, timeout=WAIT_MAX,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"{command[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def secure(self, *arguments) -> dict:
        command = self.secure_command(*arguments)
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_MAX)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def secure_command(self, what: str, port: int, mode: str, *rest) -> list[str]:
        return [str(self.example("bench-secure")), what, f"127.0.0.1:{port}", mode, str(self.certificate.file), *map(str, rest)]

    def example(self, name: str) -> Path:
        """A program of bench/, built with the one that is measured or for release."""
        beside = self.options.binary.parent / "examples" / name
        return beside if beside.exists() else REPOSITORY / "target/release/examples" / name

    # mailferry in the three conditions that are measured

    def mailferry(self, provider_port: int, certificate: Certificate | None = None, **settings) -> Mailferry:
        return Mailferry(self.folder(), self.options.binary, provider_port, certificate, **settings)

    @contextmanager
    def delivering(self, batch_max: int = 1, warm_up: int = 200, **settings):
        """With a provider that takes everything; warmed up."""
        mailferry = self.mailferry(self.sink.port, delivery=f"batch_max = {batch_max}", **settings)
        try:
            mailferry.start()
            send(mailferry.port, min(16, warm_up), warm_up)
            wait_until(lambda: mailferry.waiting() == 0, "the warm-up is delivered")
            yield mailferry
        finally:
            self.end(mailferry)

    @contextmanager
    def set_aside(self, certificate: Certificate | None = None, batch_max: int = 1):
        """With a provider that refuses the key and is therefore left alone; warmed up."""
        mailferry = self.mailferry(self.sink.refusing_port, certificate, delivery=f"batch_max = {batch_max}")
        try:
            mailferry.start()
            send(mailferry.port, 16, 200)
            wait_until(lambda: mailferry.provider_state() == "misconfigured", "the provider is set aside")
            yield mailferry
        finally:
            self.end(mailferry)

    def end(self, mailferry: Mailferry) -> None:
        mailferry.stop()
        shutil.rmtree(mailferry.folder)

    # Samples

    def folder(self) -> Path:
        self.folders += 1
        return self.work / str(self.folders)

    def count(self, messages: int) -> int:
        return int(messages * self.options.scale)

    def note(self, name: str, value: float) -> None:
        self.samples[name].append(value)
        say(f"  {name}: {value:.4g}")

    def compare(self, name: str, ours: str, theirs: str) -> None:
        """The ratio of the newest samples: of two runs that were neighbours."""
        self.note(name, self.samples[ours][-1] / self.samples[theirs][-1])

    def compare_each(self, name: str, ours: str, theirs: str, cases) -> None:
        for case in cases:
            self.compare(name.format(case), ours.format(case), theirs.format(case))

    # The table

    def table(self) -> str:
        options = self.options
        samples = dict(self.samples)
        if options.binary.exists():
            samples["binary MiB"] = [options.binary.stat().st_size / probes.MIB]
        for name in ("start backlog ms", "rss after filling", "rss backlog"):
            samples.setdefault(name, [])
        lines = [
            f"{probes.machine()}; {options.rounds} rounds; messages of {MESSAGE_OCTETS} octets; median (lowest to highest)",
            "",
            "| figure | measured | compared with | ratio | target | |",
            "|---|---|---|---|---|---|",
        ]
        for figure, measured, unit, reference, ratio, target in ROWS:
            judged = samples.get(ratio or measured)
            if not judged:
                continue
            verdict = ""
            if target:
                met = judge(statistics.median(judged), target)
                verdict = "pass" if met else "**miss**"
            cells = [
                figure.format(backlog=options.backlog, million=options.million, drained=self.count(engine.DRAINED)),
                spread(samples[measured], unit),
                f"{reference[0]} {spread(samples[reference[1]], reference[2])}" if reference else "",
                spread(samples[ratio], "") if ratio else "",
                f"{target[0]} {target[1]}" if target else "",
                verdict,
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n" + http_side.table(self) + "\n" + scale.table(self)


# name of a group on the command line, and what measures it
GROUPS = {
    "accept": Bench.accept,
    "postfix": Bench.postfix,
    "end-to-end": Bench.end_to_end,
    "pace": Bench.pace,
    "tls": Bench.tls,
    "idle": Bench.idle,
    "convert": Bench.convert,
    "memory-large": Bench.memory_large,
    "start": Bench.start,
    "backlog": Bench.backlog,
    "drain": engine.drain,
    "paced": engine.paced,
    "engine": engine.rules,
    "million": engine.million,
    "http": http_side.run,
    "scale": scale.run,
    "scale-backlog": scale.backlog,
}
# Too long to repeat in every round, and steady.
ONCE = {Bench.backlog, engine.million, http_side.run, scale.backlog}

# figure, sample, unit, (what it is compared with, its sample, unit), sample of the ratio, target
ROWS = [
    *((f"accept, {n} session{'s' * (n > 1)}", f"accept {n}", "/s", ("smtp-sink", f"floor {n}", "/s"),
       f"accept {n} / floor", {1: None, 16: ("≥", 0.6), 100: ("≥", 0.7)}[n]) for n in SESSIONS),
    ("accept, 16 sessions", "accept beside postfix", "/s", ("Postfix, deferring", "postfix deferred", "/s"),
     "accept / postfix deferred", ("≥", 7)),
    ("accept, 16 sessions", "accept beside postfix", "/s", ("Postfix, mail on hold", "postfix held", "/s"),
     "accept / postfix held", None),
    ("end to end, 16 sessions", "end to end", "/s", ("smtp-sink", "floor beside end to end", "/s"),
     "end to end / floor", ("≥", 0.5)),
    ("calls to the provider per message", "calls per message", "", None, None, None),
    ("CPU per 1,000 messages, end to end", "cpu per 1000", "s", None, None, ("≤", 0.15)),
    ("250 at 200 messages/s, p50", "250 p50 ms", "ms", ("fdatasync", "fdatasync", "/s"), "250 p50 in fdatasyncs", None),
    ("250 at 200 messages/s, p99", "250 p99 ms", "ms", ("fdatasync", "fdatasync", "/s"), "250 p99 in fdatasyncs", ("≤", 5)),
    ("visits with STARTTLS", "tls visits", "/s", ("Postfix", "tls visits postfix", "/s"), "tls visits / postfix", None),
    ("visits without TLS", "plain visits", "/s", None, None, None),
    ("accept over TLS, 16 sessions", "messages starttls", "/s", ("without TLS", "messages plain", "/s"),
     "messages starttls / plain", None),
    ("CPU of TLS per 1,000 messages", "cpu of tls", "s", ("all without TLS", "cpu per 1000 plain", "s"), None, None),
    ("memory, 1,000 idle connections", "rss idle connections plain", "MiB", None, None, ("≤", 20)),
    ("memory, 1,000 idle connections with TLS", "rss idle connections starttls", "MiB", None, None, None),
    ("memory, idle", "rss idle", "MiB", None, None, ("≤", 16)),
    ("memory, highest at 200 messages/s", "rss peak pace", "MiB", None, None, ("≤", 64)),
    ("memory, highest end to end at full speed", "rss peak end to end", "MiB", None, None, ("≤", 64)),
    ("memory above idle, 25 MiB messages, 16 sessions", "rss above idle large", "MiB", None, None, ("≤", LARGE_BUDGET_MIB)),
    *((f"conversion for {provider}, {letter}", f"convert {letter} {provider}", "MB/s", None, None, None)
      for letter in ("alternative", "attachment") for provider in ("resend", "sendgrid", "postmark", "ses")),
    *((f"conversion, {letter}", f"convert {letter} resend", "MB/s", (name, f"convert {letter} {program}", "MB/s"),
       f"convert {letter} / {program}", None)
      for letter in ("alternative", "attachment")
      for program, name in (("python", "Python's email and json"), ("node", "Node's mailparser and JSON"))),
    ("conversion of a 4 KiB message, share of its delivery's CPU", "convert share", "%", None, None, None),
    ("memory, {backlog:,} waiting, in the process that took them", "rss after filling", "MiB", None, None, ("≤", 28)),
    ("memory, {backlog:,} waiting, after a restart", "rss backlog", "MiB", None, None, ("≤", 28)),
    ("start to greeting, empty store", "start empty ms", "ms", None, None, ("≤", 50)),
    ("start to greeting, empty store, with a certificate", "start tls ms", "ms", None, None, None),
    ("start to greeting, {backlog:,} waiting", "start backlog ms", "ms", None, None, ("≤", 200)),
    ("backlog of {drained:,} drained, one message a call", "drain", "/s", ("fresh mail, end to end", "fresh", "/s"),
     "drain / fresh", ("≥", 0.9)),
    ("backlog of {drained:,} drained in batches", "drain batches", "/s", ("fresh mail, end to end", "fresh", "/s"),
     "drain batches / fresh", ("≥", 2)),
    ("1,000 messages through 2 calls/s", "paced s", "s", None, None, ("≤", 6)),
    ("end to end with routes, limits, quotas and a second provider", "rules all", "/s", ("without", "rules none", "/s"),
     "rules all / none", ("≥", 0.95)),
    ("start to greeting, {million:,} waiting", "start million ms", "ms", None, None, ("≤", 1000)),
    ("memory above idle, {million:,} waiting", "rss million above idle", "MiB", ("idle", "rss million idle", "MiB"), None, ("≤", 16)),
    *((f"{figure} beside {{million:,}} waiting", f"{what} million", "/s", ("beside 1,000", f"{what} few", "/s"),
       f"{what} cost", ("≤", 1.3)) for figure, what in (("end to end", "passed on"), ("accept", "kept"))),
    *((f"CPU per 1,000 messages, {figure}, beside {{million:,}} waiting", f"{what} million cpu per 1000", "s",
       ("beside 1,000", f"{what} few cpu per 1000", "s"), f"{what} cpu", ("≤", 1.3))
      for figure, what in (("end to end", "passed on"), ("accept", "kept"))),
    ("/health, {million:,} waiting", "health million ms", "ms", ("1,000 waiting", "health few ms", "ms"), "health million / few", None),
    ("memory, highest, {million:,} waiting and other mail passing", "rss million busy", "MiB", None, None, None),
    *http_side.ROWS,
    ("release binary", "binary MiB", "MiB", None, None, ("≤", 20)),
]  # fmt: skip


def judge(value: float, target: tuple[str, float]) -> bool:
    return value >= target[1] if target[0] == "≥" else value <= target[1]


def spread(values: list[float], unit: str) -> str:
    def show(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    middle = show(statistics.median(values))
    unit = unit if unit.startswith("/") or not unit else f" {unit}"
    if len(values) == 1:
        return f"{middle}{unit}"
    return f"{middle}{unit} ({show(min(values))} to {show(max(values))})"


if __name__ == "__main__":
    main()
