"""Generates traffic and faults for every panel: two replicas in production and one in staging."""

import contextlib
import http.server
import shutil
import socket
import threading
import time

from harness.load import empty, unique_text, shout_request, cached_text, with_unknown_kid
from harness.process import http_request
from harness.prometheus import Target
from harness.shoutback import Shoutback
from harness.toxiproxy import free_port
from harness.valkey import Server

PRODUCTION, STAGING = "production", "staging"
HERE = f'environment="{PRODUCTION}"'
DURATIONS = "http_server_request_duration_seconds"
SHOUTS = "shoutback_shouts_total"

# Faults last for a second or two; windows and timeouts of the service are in proportion.
VARIABLES = {
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "1s",
    "SHOUTCLOUD_DEADLINE": "3s",
    "SHOUTCLOUD_MAX_CONCURRENCY": "8",
    "SHOUTCLOUD_MAX_QUEUE": "4",
    "BREAKER_WINDOW": "2s",
    "BREAKER_SLOW_CALL": "1s",
    "BREAKER_OPEN_FOR": "500ms",
    "CACHE_TTL": "1s",
    # The replicas share it, and a rejected request does not wait for a permit.
    "RATE_LIMIT_PER_CLIENT": "120/s",
    "RATE_LIMIT_BURST": "120",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_BSP_EXPORT_TIMEOUT": "500",
}


# What NGINX and the prober export, as far as panels show it: neither runs here.
OTHERS = """\
probe_success 1
probe_ssl_earliest_cert_expiry 4e9
probe_http_duration_seconds{{phase="resolve"}} 0.01
probe_http_duration_seconds{{phase="tls"}} 0.02
nginx_ingress_controller_upstream_server_response_latency_ms_count{{resource_namespace="shoutback",code="200"}} {served}
nginx_ingress_controller_upstream_server_response_latency_ms_count{{resource_namespace="shoutback",code="502"}} {failed}
"""


class Others(contextlib.AbstractContextManager):
    """A target with the metrics of NGINX and of the prober, whose counters grow."""

    def __init__(self):
        scrapes = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                scrapes.append(self)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(OTHERS.format(served=9 * len(scrapes), failed=len(scrapes)).encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()


class Traffic:
    def __init__(self, stack, directory, emulators, toxiproxy, load):
        self.stack, self.directory, self.emulators, self.load = stack, directory, emulators, load
        self.targets = []
        self.network = toxiproxy.proxy(emulators.shoutcloud)
        self.keys = toxiproxy.proxy(emulators.cognito.removeprefix("http://"))
        self.token = emulators.token()
        authentication = emulators.authentication() | {"COGNITO_JWKS_ENDPOINT": f"http://{self.keys.address}"}
        # Nothing listens there.
        collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
        self.logs = directory / "logs"
        self.logs.mkdir()
        shared = {"VALKEY_URL": stack.enter_context(Server(directory / "valkey", program="redis-server")).url}
        self.replicas = [
            self.start(PRODUCTION, name, **authentication, **collector, **shared, LOG_FILE=str(self.logs / name))
            for name in ("one", "two")
        ]
        self.staging = self.start(STAGING, "alone", SHOUTCLOUD_FALLBACK="local")
        others = stack.enter_context(Others())
        self.targets.append(Target(others.address, {"environment": PRODUCTION}, job="shoutback-probe"))

    def start(self, environment, instance, **variables):
        variables = VARIABLES | {"SHOUTCLOUD_URL": f"http://{self.network.address}/V1/SHOUT"} | variables
        shoutback = self.stack.enter_context(Shoutback(self.directory / f"{instance}.log", **variables))
        self.targets.append(Target(shoutback.admin, {"environment": environment, "instance": instance}))
        return shoutback

    def play(self, prometheus):
        """Injects each fault until Prometheus has seen its effect on both replicas. Requests continue afterwards."""

        def until_recorded(what, expression):
            prometheus.until(what, lambda: len([value for _, value in prometheus.query(expression) if value > 0]) == 2)

        def is_now(gauge, *matchers):
            until_recorded(f"{gauge} {matchers}", f"sum by (instance) ({gauge}{{{','.join([HERE, *matchers])}}})")

        def counted(counter, *matchers):
            until_recorded(f"{counter} {matchers}", f"sum by (instance) (increase({counter}{{{','.join([HERE, *matchers])}}}[1m]))")

        texts = [unique_text(self.token), cached_text(self.token), cached_text(self.token), unique_text(self.token), empty(self.token)]
        rejected = [cached_text(), cached_text("no.token.atall"), unreadable(self.token)]
        self.streams = [self.load.start(replica.address, 25, *texts, *rejected) for replica in self.replicas]
        self.load.start(self.staging.address, 10, unique_text(), cached_text())
        counted(SHOUTS, 'source="cache"')
        # Their log file can be neither written nor created again.
        shutil.rmtree(self.logs)
        counted("shoutback_log_lines_dropped_total")
        counted("shoutback_otlp_spans_dropped_total", 'reason="export_failed"')

        # Errors for new texts, stale responses for the cached one; retries until the budget is exhausted, and the breaker.
        self.emulators.behave(failure_rate=1.0)
        counted("shoutback_upstream_retries_total")
        is_now("shoutback_breaker_state", 'state="open"')
        counted(SHOUTS, 'source="stale"')
        prometheus.until("the alert", lambda: prometheus.query('ALERTS{alertname=~".*AvailabilityBurnFast",alertstate="firing"}'))
        self.emulators.behave()
        is_now("shoutback_breaker_state", 'state="closed"')

        # More requests than are permitted.
        self.emulators.behave(delay="400ms")
        self.hang_up()
        self.speak_tls()
        self.scrape_other_paths()
        counted("shoutback_connections_rejected_total", 'reason="parser"')
        with self.bursts():
            counted("shoutback_overloaded_total")
            is_now("shoutback_upstream_queued")
            counted(SHOUTS, 'source="coalesced"')
        counted(SHOUTS, 'outcome="cancelled"')

        # Calls exceed the attempt timeout.
        self.emulators.behave(delay="1200ms")
        counted("http_client_request_duration_seconds_count", 'error_type="timeout"')
        slow = (
            f"sum by (instance) (increase({DURATIONS}_count{{{HERE}}}[1m]))"
            f" - sum by (instance) (increase({DURATIONS}_bucket{{{HERE},le=~'1|1[.]0'}}[1m]))"
        )
        until_recorded("responses after more than a second", slow)
        self.emulators.behave()

        # An unknown key, while the key set is unavailable.
        with self.keys.down():
            self.burst(5, cached_text(with_unknown_kid(self.token)))
            counted("shoutback_auth_total", 'outcome="keys_unavailable"')
            counted("shoutback_jwks_refresh_total", 'outcome="failure"')

        with self.bursts(cached_text(self.token)):
            counted("shoutback_rate_limited_total")
        busy = f"changes(tokio_worker_busy_seconds_total{{{HERE}}}[1m])"
        until_recorded("activity of the workers", f"min by (instance) ({busy})")

    @contextlib.contextmanager
    def bursts(self, *requests):
        """Sends bursts of twenty requests: of the cached text and of new ones, or `requests`."""
        ended = threading.Event()

        def come():
            while not ended.wait(0.25):
                for request in requests or (unique_text(self.token), cached_text(self.token)):
                    self.burst(20, request)

        thread = threading.Thread(target=come)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def burst(self, count, request):
        for stream in self.streams:
            stream.burst(count, request)

    def hang_up(self):
        """Sends requests and disconnects before the response."""
        headers, body = shout_request("for a disconnected client", self.token)
        for number in range(8):
            for replica in self.replicas:
                head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                length = len(body) + number
                head = f"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{head}\r\n"
                with socket.create_connection((replica.address.split(":")[0], replica.port)) as connection:
                    connection.sendall(head.encode() + body.replace(b"client", b"client" + b"." * number))
                    time.sleep(0.02)

    def speak_tls(self):
        """Begins TLS handshakes, which the service cannot parse."""
        for replica in self.replicas:
            with socket.create_connection((replica.address.split(":")[0], replica.port)) as connection:
                connection.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n")
                # Until the service has closed the connection.
                while connection.recv(4096):
                    pass

    def scrape_other_paths(self):
        for path in ("/docs", "/openapi.json", "/wp-login.php"):
            http_request("GET", f"http://{self.replicas[0].address}{path}")


def unreadable(token):
    """Returns a factory of requests whose body is not JSON."""
    return lambda: (shout_request("", token)[0], b"{")
