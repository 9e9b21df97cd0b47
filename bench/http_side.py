"""The group about the HTTP side: what a question about few and very many messages takes, and what a page weighs."""

import http.client
import json
import re
import statistics
import time
from contextlib import ExitStack
from urllib.parse import quote

import engine
import probes
from load import WAIT_MAX, say

FEW = 1_000
# So many requests for a figure, or as many as fit into the time.
REQUESTS = 400
SECONDS_MAX = 10
# A page is what `Accept-Encoding` of a browser gets, with everything that it asks for.
HEADERS = {"Accept-Encoding": "gzip, deflate, br, zstd", "Accept": "text/html,*/*;q=0.8", "Accept-Language": "en"}
ASSET = re.compile(rb"""<(?:link|script|img)\b[^>]*?(?:href|src)=["']?(/[^"'\s>]+)""")


def sizes(bench) -> dict[str, int]:
    return {"few": FEW, "many": bench.options.backlog, "million": bench.options.million}


def run(bench) -> None:
    """The same questions with 1,000, 100,000 and 1,000,000 stored, one after the other on one connection."""
    with ExitStack() as running:
        for name, count in sizes(bench).items():
            mailferry = running.enter_context(engine.beside(bench, count))
            settle(mailferry)
            asked = Asker(mailferry.http_port)
            for what, path in questions(asked, count).items():
                measure(bench, asked, f"http {what} {name}", path)
            if name == "million":
                for page, path in PAGES.items():
                    bench.note(f"weight {page}", asked.weight(path))


# what is asked, how it is called in the table, and how many ms it may take with everything stored
FIGURES = {
    "floor": ("nothing: the icon", None),
    "list": ("list, newest", 10),
    "state": ("list, a state that no message has", 10),
    "deep": ("list, from the middle on", 10),
    "hit": ("search, one message of all", 10),
    "name": ("search, a Message-ID", 10),
    "common": ("search, what every message has", 10),
    "miss": ("search, what no message has", None),
    "detail": ("one message", 10),
    "stats": ("statistics of 24 hours", 10),
    "month": ("statistics of 30 days", 10),
    "overview": ("page: overview", 50),
    "messages": ("page: messages", 50),
    "message": ("page: one message", 50),
}
# What is weighed.
PAGES = {"overview page": "/", "messages page": "/messages"}


def questions(asked: "Asker", count: int) -> dict[str, str]:
    sought = f"/api/v1/messages?q={quote(f'user{count // 2}@rcpt.example')}"
    found = json.loads(asked.get(sought))["messages"][0]
    middle = found["id"]
    return {
        "floor": "/icon.svg",
        "list": "/api/v1/messages",
        "state": "/api/v1/messages?state=failed",
        "deep": f"/api/v1/messages?before={middle}",
        "hit": sought,
        "name": f"/api/v1/messages?q={quote(found['message_id'])}",
        "common": "/api/v1/messages?q=waiting.example",
        "miss": "/api/v1/messages?q=nobody-has-written-this",
        "detail": f"/api/v1/messages/{middle}",
        "stats": "/api/v1/stats?window=24h",
        "month": "/api/v1/stats?window=30d",
        "overview": "/",
        "messages": "/messages",
        "message": f"/messages/{middle}",
    }


def measure(bench, asked: "Asker", name: str, path: str) -> None:
    for _ in range(3):
        asked.get(path)
    times = []
    begun = time.perf_counter()
    while len(times) < bench.count(REQUESTS) and time.perf_counter() - begun < SECONDS_MAX:
        started = time.perf_counter()
        asked.get(path)
        times.append((time.perf_counter() - started) * 1000)
    bench.note(f"{name} ms", statistics.median(times))
    bench.note(f"{name} p99 ms", sorted(times)[int(len(times) * 0.99)])


def settle(mailferry) -> None:
    """Waits until it has nothing more to do by itself: the index of the search is written when nobody waits."""
    deadline = time.perf_counter() + 4 * WAIT_MAX
    say("  waiting for the index")
    quiet = 0
    while quiet < 3:
        if time.perf_counter() > deadline:
            raise SystemExit("mailferry is still at work")
        before = probes.cpu_seconds(mailferry.pid)
        time.sleep(1)
        quiet = quiet + 1 if probes.cpu_seconds(mailferry.pid) - before < 0.05 else 0


class Asker:
    """One connection that stays open."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_MAX)

    def get(self, path: str) -> bytes:
        return self.exchange(path, {})[0]

    def exchange(self, path: str, headers: dict[str, str]) -> tuple[bytes, int]:
        """The body, and the octets of the whole answer."""
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} is answered with {answer.status}")
        head = sum(len(f"{name}: {value}\r\n") for name, value in answer.getheaders())
        return body, len(body) + head + len("HTTP/1.1 200 OK\r\n\r\n")

    def weight(self, path: str) -> int:
        """Octets of a page with its style, script and images, for somebody who comes for the first time."""
        plain = self.get(path)
        assets = {asset.decode() for asset in ASSET.findall(plain)}
        return self.exchange(path, HEADERS)[1] + sum(self.exchange(asset, HEADERS)[1] for asset in sorted(assets))


# figure, sample, unit, what it is compared with, sample of the ratio, target
ROWS = [
    (f"{page} over the wire, with style, script and images", f"weight {page}", "octets", None, None, ("≤", 100 * 1024))
    for page in PAGES
]


def table(bench) -> str:
    """Of all sizes, side by side; nothing where the group was not measured."""
    samples, columns = bench.samples, sizes(bench)
    if not any(name.startswith("http ") for name in samples):
        return ""
    lines = [
        "",
        "Answers over one connection, in ms: median (p99).",
        "",
        "| question | " + " | ".join(f"{count:,} stored" for count in columns.values()) + " | target | |",
        "|---|" + "---|" * (len(columns) + 2),
    ]
    for what, (figure, target) in FIGURES.items():
        cells = [f"{median(samples, what, name):.2g} ({samples[f'http {what} {name} p99 ms'][-1]:.2g})" for name in columns]
        verdict = ""
        if target:
            verdict = "pass" if median(samples, what, "million") <= target else "**miss**"
        lines.append(f"| {figure} | " + " | ".join(cells) + f" | {f'≤ {target}' if target else ''} | {verdict} |")
    return "\n".join(lines)


def median(samples: dict, what: str, name: str) -> float:
    return samples[f"http {what} {name} ms"][-1]
