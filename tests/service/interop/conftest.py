"""Fixtures: moto's Cognito, a fake SHOUTCLOUD, and the service. Everything is on loopback."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import httpx
import pytest

REGION = "us-east-2"
PASSWORD = "Correct-horse-battery-9"

# The environment of boto3, moto and the service: none of the caller's credentials or proxies.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, process, log, within=30.0):
    """Returns as soon as `condition()`; fails with the log if the process ends first or time runs out."""
    deadline = time.monotonic() + within
    while True:
        with contextlib.suppress(OSError, httpx.TransportError):
            if condition():
                return
        if process.poll() is not None:
            pytest.fail(f"{process.args[0]} ended with {process.returncode}:\n{log.read_text()}")
        if time.monotonic() > deadline:
            pytest.fail(f"{process.args[0]} was not ready within {within} s:\n{log.read_text()}")
        time.sleep(0.02)


@contextlib.contextmanager
def running(command, log, env):
    """Runs a process with its output in `log`; stops it at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class Pool:
    """A user pool with one client."""

    cognito: object
    id: str
    client_id: str

    @classmethod
    def create(cls, cognito, name):
        pool_id = cognito.create_user_pool(PoolName=name)["UserPool"]["Id"]
        client = cognito.create_user_pool_client(
            UserPoolId=pool_id, ClientName=name, ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
        )
        return cls(cognito, pool_id, client["UserPoolClient"]["ClientId"])

    @property
    def issuer(self):
        return f"https://cognito-idp.{REGION}.amazonaws.com/{self.id}"

    def sign_in(self, user, groups=()):
        """Creates the user as a member of the groups, signs in, and returns Cognito's result: AccessToken, IdToken, …"""
        self.cognito.admin_create_user(UserPoolId=self.id, Username=user)
        self.cognito.admin_set_user_password(
            UserPoolId=self.id, Username=user, Password=PASSWORD, Permanent=True
        )
        for group in groups:
            self.cognito.create_group(UserPoolId=self.id, GroupName=group)
            self.cognito.admin_add_user_to_group(UserPoolId=self.id, Username=user, GroupName=group)
        response = self.cognito.initiate_auth(
            ClientId=self.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": PASSWORD},
        )
        return response["AuthenticationResult"]


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """Yields the address of a moto server."""
    log = tmp_path_factory.mktemp("moto") / "log"
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log, ENVIRONMENT) as process:
        wait_until(lambda: httpx.get(f"{address}/moto-api/", trust_env=False).is_success, process, log)
        yield address


@pytest.fixture(scope="session")
def cognito(moto):
    return boto3.client(
        "cognito-idp",
        endpoint_url=moto,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=boto3.session.Config(proxies={}),
    )


@pytest.fixture(scope="session")
def pool(cognito):
    return Pool.create(cognito, "first")


@pytest.fixture(scope="session")
def other_pool(cognito):
    return Pool.create(cognito, "another")


@pytest.fixture(scope="session")
def shouter(pool):
    """Returns the tokens of a user in an allowed group."""
    return pool.sign_in("shouter", groups=["shouters"])


@pytest.fixture(scope="session")
def whisperer(pool):
    """Returns the tokens of a user in another group."""
    return pool.sign_in("whisperer", groups=["whisperers"])


class Shoutcloud(ThreadingHTTPServer):
    """A fake SHOUTCLOUD, as strict about `content-type` as the original. `inputs` records the texts."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ShoutcloudHandler)
        self.inputs = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/V1/SHOUT"


class ShoutcloudHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/V1/SHOUT":
            return self.respond(404, b"")
        if self.headers.get_all("content-type") != ["application/json"]:
            return self.respond(400, b"")
        text = json.loads(body)["INPUT"]
        self.server.inputs.append(text)
        self.respond(200, json.dumps({"INPUT": text, "OUTPUT": text.upper()}).encode())

    def respond(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def shoutcloud():
    with Shoutcloud() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Shoutback:
    """A client of the service."""

    def __init__(self, address):
        self.address = address

    def shout(self, token, data="hello, world!"):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.post(f"{self.address}/v1", json={"data": data}, headers=headers, trust_env=False, timeout=20)


@pytest.fixture(scope="session")
def start_shoutback(moto, shoutcloud, tmp_path_factory):
    """`start_shoutback(pool, **variables)` starts an instance and waits until it is ready."""
    binary = os.environ.get("SHOUTBACK_BIN")
    if not binary:
        pytest.fail("SHOUTBACK_BIN must name the binary; `make test-all SUITES=interop` builds it and sets this")

    with contextlib.ExitStack() as instances:

        def start(pool, **variables):
            log = tmp_path_factory.mktemp("shoutback") / "log"
            public, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
            environment = ENVIRONMENT | {
                "HTTP_ADDR": public,
                "ADMIN_ADDR": admin,
                "COGNITO_USER_POOL_IDS": pool.id,
                "COGNITO_CLIENT_IDS": pool.client_id,
                "COGNITO_JWKS_ENDPOINT": moto,
                "AUTH_REQUIRED_SCOPES": "aws.cognito.signin.user.admin",
                "AUTH_ALLOWED_GROUPS": "shouters",
                "SHOUTCLOUD_URL": shoutcloud.url,
                "SHUTDOWN_GRACE": "100ms",
                **variables,
            }
            process = instances.enter_context(running([binary, "serve"], log, environment))
            ready = f"http://{admin}/readyz"
            wait_until(lambda: httpx.get(ready, trust_env=False).status_code == 200, process, log)
            return Shoutback(f"http://{public}")

        yield start


@pytest.fixture(scope="session")
def shoutback(start_shoutback, pool):
    """Returns an instance for `pool`."""
    return start_shoutback(pool)
