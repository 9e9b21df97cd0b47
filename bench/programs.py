"""The programs of a run: each is a context that starts it in a folder of its own and ends it.

Everything listens on 127.0.0.1, on ports that were free a moment ago, and is ended by its process id.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import probes

# Nothing of the caller's environment: no proxy, no provider key, no RUST_LOG.
ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"}
START_TIMEOUT = 30
STOP_TIMEOUT = 60


class Program:
    """A child process with its output in a file."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.process = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def wait_until_ready(self) -> float:
        raise NotImplementedError

    def start(self) -> float:
        """Starts it and returns the seconds until it was ready."""
        command = self.command()
        with open(self.folder / "output", "ab") as output:
            started = time.perf_counter()
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            return self.wait_until_ready() - started
        except TimeoutError:
            self.stop()
            tail = (self.folder / "output").read_text(errors="replace")[-2000:]
            raise SystemExit(f"{command[0]} did not start:\n{tail}") from None

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid


class Certificate:
    """A key and a certificate for localhost, as an operator would have them: ECDSA over P-256."""

    def __init__(self, folder: Path):
        self.file, self.key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-addext", "basicConstraints=critical,CA:FALSE", "-out", self.file, "-keyout", self.key],
            env=ENVIRONMENT, check=True, capture_output=True, timeout=START_TIMEOUT,
        )  # fmt: skip


class Floor(Program):
    """smtp-sink: takes mail as fast as it comes and keeps nothing."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.port = probes.free_port()

    def command(self):
        # As root it insists on being told whom to become.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return ["smtp-sink", *user, f"127.0.0.1:{self.port}", "1000"]

    def wait_until_ready(self):
        return probes.wait_for_greeting(self.port, START_TIMEOUT)


class ProviderSink(Program):
    """nginx as an email service: one port that takes everything, one that refuses the key."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        folder.chmod(0o755)
        self.port, self.refusing_port = probes.free_port(), probes.free_port()
        self.own_requests = 0

    def command(self):
        # `return` reads and drops the request body, so connections stay open. A batch is answered with a hundred names, however
        # many messages it has: what stands beyond the last means nothing.
        batch = ",".join(f'{{"id":"$request_id-{n}"}}' for n in range(100))
        (self.folder / "nginx.conf").write_text(f"""
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    tcp_nodelay on;
    default_type application/json;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    client_body_buffer_size 256k;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location = /emails {{ return 200 '{{"id":"$request_id"}}'; }}
        location = /emails/batch {{ return 200 '{{"data":[{batch}]}}'; }}
        location = /count {{ stub_status; }}
    }}
    server {{
        listen 127.0.0.1:{self.refusing_port};
        location / {{ return 401 '{{"statusCode":401,"name":"missing_api_key","message":"Missing API key"}}'; }}
    }}
}}
""")
        return ["nginx", "-p", str(self.folder), "-e", "error.log", "-c", "nginx.conf"]

    def wait_until_ready(self):
        ready = probes.wait_for_http(self.port, START_TIMEOUT)
        self.own_requests += 1
        return ready

    def requests(self) -> int:
        """How many requests came, our own questions not counted."""
        text = _get(f"http://127.0.0.1:{self.port}/count").decode()
        self.own_requests += 1
        return int(text.splitlines()[2].split()[2]) - self.own_requests


class Mailferry(Program):
    """The program that all this is about, with Resend's API at `provider_port` and an empty store."""

    def __init__(
        self,
        folder: Path,
        binary: Path,
        provider_port: int,
        certificate: "Certificate | None" = None,
        delivery: str = "batch_max = 1",
        limits: str = "",
        extra: str = "",
        queue: str | None = None,
    ):
        """`delivery`, `limits`: lines for its section and the provider's; `extra`: further sections; `queue`: the URL of its
        store, if it is not a file of its own."""
        super().__init__(folder)
        self.queue = queue or f"sqlite:{folder}/mailferry.db"
        self.delivery, self.limits, self.extra = delivery, limits, extra
        self.binary = binary
        self.certificate = certificate
        self.provider_port = provider_port
        self.port, self.http_port = probes.free_port(), probes.free_port()

    def command(self):
        # Defaults, except: where to listen and what to talk to; room for a thousand sessions that are idle, from one address;
        # one message per call, since the target is about single calls.
        tls = ""
        if self.certificate:
            tls = f'[smtp.tls]\ncertificate = "{self.certificate.file}"\nkey = "{self.certificate.key}"'
        (self.folder / "mailferry.toml").write_text(f"""
[smtp]
listen = ["127.0.0.1:{self.port}"]
max_connections = 1400
max_connections_per_ip = 1200
{tls}
[http]
listen = "127.0.0.1:{self.http_port}"
[delivery]
{self.delivery}
[queue]
url = "{self.queue}"
max_messages = 5000000
[providers.resend]
api_key = "re_bench"
base_url = "http://127.0.0.1:{self.provider_port}"
{self.limits}
{self.extra}
""")
        return [str(self.binary), "--config", str(self.folder / "mailferry.toml"), "serve"]

    def wait_until_ready(self):
        return probes.wait_for_greeting(self.port, START_TIMEOUT)

    def health(self) -> dict:
        return json.loads(_get(f"http://127.0.0.1:{self.http_port}/health"))

    def provider_state(self) -> str:
        return self.health()["providers"]["resend"]["state"]

    def waiting(self) -> int:
        """Messages that are neither delivered nor failed."""
        queue = self.health()["queue"]
        return queue["queued"] + queue["sending"]


class Postfix(Program):
    """A private Postfix that takes mail and keeps it: with a queue, a log and a configuration of its own.

    `deferred`: as it stands when its smarthost cannot be used; each message is queued, looked at by the queue manager and
    deferred. `held`: each message is queued and looked at by nobody, the least that Postfix can do.
    """

    SERVICES = """
127.0.0.1:{port} inet  n - n - - smtpd
cleanup  unix  n - n - 0 cleanup
qmgr     unix  n - n 300 1 qmgr
rewrite  unix  - - n - - trivial-rewrite
bounce   unix  - - n - 0 bounce
defer    unix  - - n - 0 bounce
trace    unix  - - n - 0 bounce
flush    unix  n - n 1000? 0 flush
proxymap unix  - - n - - proxymap
tlsmgr   unix  - - n 1000? 1 tlsmgr
smtp     unix  - - n - - smtp
error    unix  - - n - - error
retry    unix  - - n - - error
anvil    unix  - - n - 1 anvil
scache   unix  - - n - 1 scache
postlog  unix-dgram n - n - 1 postlogd
"""
    KEEPING = {
        "deferred": "defer_transports = smtp\nsmtpd_recipient_restrictions = permit_mynetworks, reject\n",
        "held": "smtpd_recipient_restrictions = check_client_access static:HOLD, permit_mynetworks, reject\n",
    }

    def __init__(self, folder: Path, keeping: str, certificate: Certificate):
        super().__init__(folder)
        self.port = probes.free_port()
        self.keeping = keeping
        self.certificate = certificate
        self.config = folder / "config"

    def start(self):
        queue, data = self.folder / "queue", self.folder / "data"
        for place in (self.config, queue, data):
            place.mkdir()
            place.chmod(0o755)
        shutil.chown(data, "postfix")
        # Favourable where there is a choice: no name look-ups, no chroot, no waiting for the queue manager.
        (self.config / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file = {self.folder}/log
maillog_file_prefixes = {self.folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = bench.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
default_process_limit = 200
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_cert_file = {self.certificate.file}
smtpd_tls_key_file = {self.certificate.key}
in_flow_delay = 0
queue_run_delay = 1d
minimal_backoff_time = 1d
maximal_backoff_time = 1d
{self.KEEPING[self.keeping]}""")
        (self.config / "master.cf").write_text(self.SERVICES.format(port=self.port))
        started = time.perf_counter()
        self._postfix("start")
        return self.wait_until_ready() - started

    def wait_until_ready(self):
        return probes.wait_for_greeting(self.port, START_TIMEOUT)

    def stop(self):
        self._postfix("stop")
        shutil.rmtree(self.folder)

    def _postfix(self, order: str) -> None:
        with open(self.folder / "output", "ab") as output:
            subprocess.run(
                ["postfix", "-c", str(self.config), order],
                env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True, timeout=STOP_TIMEOUT,
            )  # fmt: skip


def _get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read()
