"""Every command of the documentation that can be executed is executed: here, or by the named suite."""

import os
import re
import signal
import subprocess
from dataclasses import dataclass

import pytest
from pages import FENCE, TOP, commands, pages, suites

from harness.process import ENVIRONMENT, Process, http_request
from harness.shoutback import Shoutback, binary


@dataclass(frozen=True)
class By:
    """A command that a suite executes: `file` contains `text`."""

    suite: str
    file: str
    text: str


@dataclass(frozen=True)
class Not:
    """A command that cannot be executed here, and why."""

    why: str


ACCOUNT = Not("needs an AWS account; tests/platform/terraform runs the configuration with a mocked provider")
GRAFANA = Not("Grafana is in no package registry")
CLUSTER = Not("needs a cluster that pulls images")
RUNBOOKS = By("cluster", "tests/platform/cluster/test_runbooks.py", 'commands("kubectl")')
ENDLESS = Not("runs until it is interrupted, or is interactive; another row covers it")

# By the text of a command. The suite `terraform` executes those of docs/deploy.md.
EXECUTED = {
    "make test": Not("is what runs this"),
    "make test-all": Not("is what runs this"),
    'make test-all SUITES="interop chart"': Not("is what runs this"),
    "REQUIRE_ALL=1 make test-all": Not("is what runs this"),
    "make check": By("service", "tests/suites.toml", "make --no-print-directory check"),
    "make image": By("image", "tests/platform/image/test_building.py", "scripts/image"),
    "docker run --rm --publish 5000:5000 --env AUTH_MODE=disabled shoutback": By("image", "tests/platform/image/test_running.py", "localhost:5000"),
    "make slo": By("alerts", "tests/platform/observability/rules/test_slo.py", "observability/slo"),
    "make clean-tools": Not("would remove the tools of every other suite"),
    "make fuzz": By("fuzz-smoke", "tests/suites.toml", "FUZZ_SECONDS=5 scripts/fuzz"),
    "make mutants": Not("takes minutes to hours"),
    "make dashboards": By("dashboards", "tests/platform/observability/dashboards", "grafana/source"),
    "make fuzz FUZZ_SECONDS=300": By("fuzz-smoke", "tests/suites.toml", "FUZZ_SECONDS=5 scripts/fuzz"),
    "make pipeline-dry-run": By("release-walk", "tests/platform/pipeline/test_walk.py", "scripts/pipeline-dry-run"),
    "make bench": Not("takes a machine that does nothing else, for some 20 minutes"),
    "make bench ARGS=--render": By("docs", "tests/repository/docs/test_performance.py", "report.page("),
    'make bench ARGS="--only requests --seconds 2"': Not("takes a machine that does nothing else"),
    "make instructions": By("instructions", "tests/suites.toml", "scripts/instructions"),
    "cargo bench --manifest-path benches/parts/Cargo.toml --bench parts": By("instructions", "tests/suites.toml", "cargo test --locked --benches"),
    "cargo bench --manifest-path benches/parts/Cargo.toml --bench service 2>/dev/null": By("instructions", "tests/suites.toml", "cargo test --locked --benches"),
    "make coverage": Not("needs an instrumented build; the pipeline does it for each pull request"),
    "make prose": By("docs", "tests/repository/docs/test_prose.py", "scripts/prose"),
    "make mutants MODULES=quota": Not("takes minutes to hours"),
    "make secrets": By("workflows", "tests/platform/workflows", "secrets"),
    "make audit": Not("its database needs a network"),
    "make fmt": Not("would change the source; the suite `service` checks the formatting"),
    "make soak": By("soak-smoke", "tests/suites.toml", "scripts/soak"),
    "make soak SOAK_SECONDS=600": By("soak-smoke", "tests/suites.toml", "scripts/soak"),
    "make soak SOAK_SECONDS=3600": By("soak-smoke", "tests/suites.toml", "scripts/soak"),
    'make soak ARGS="--rate 200 --summary soak.md"': By("soak-smoke", "tests/suites.toml", "scripts/soak"),
    "scripts/soak --record": Not("would change a page"),
    "make observe": ENDLESS,
    "make observe ARGS=--once": By("observe", "tests/suites.toml", "scripts/observe --once"),
    "make observe ARGS=--without-collector": ENDLESS,
    'make observe ARGS="--calm 60 --speed 30"': ENDLESS,
    "make drill": ENDLESS,
    'make drill ARGS="--cause d"': ENDLESS,
    'make drill ARGS="--seed 7"': ENDLESS,
    'make drill ARGS="--cause d --answer d"': By("drill", "tests/platform/observability/observe/test_drill.py", '"--answer"'),
    "cargo test --features dev --test it keys::": By("service", "scripts/check", "cargo test"),
    "cargo test --features dev --lib config::": By("service", "scripts/check", "cargo test"),
    "cargo test --package shoutback-emulators": By("service", "scripts/check", "cargo test"),
    "ELASTICSEARCH_URL=https://elasticsearch:9200 ELASTICSEARCH_API_KEY=ID:KEY ./load": By("search", "tests/platform/observability/search", "elasticsearch/load"),
    "KIBANA_URL=https://kibana:5601 ELASTICSEARCH_API_KEY=ID:KEY ./load": By("search", "tests/platform/observability/search", "kibana/load"),
    "otelcol-shoutback --config config.yaml --config aws.yaml --config otlp.yaml": By("collector", "tests/harness/collector.py", "--config"),
    "helm test shoutback --namespace shoutback --logs": By("chart", "tests/platform/chart/test_shout.py", "def test_"),
    "scripts/release/history production": By("pipeline", "tests/platform/pipeline/test_https.py", '"history"'),
    "scripts/release/rollback production": By("pipeline", "tests/platform/pipeline/test_rollback.py", '"rollback"'),
    "GITHUB_REPOSITORY=example/shoutback scripts/release/verify --tested REPOSITORY COMMIT": By("pipeline", "tests/platform/pipeline/test_evidence.py", '"--tested"'),
    "gh workflow run rollback.yml --field environment=production": By("workflows", "tests/platform/workflows/test_jobs.py", '"rollback.yml"'),
    "gh workflow run rollback.yml --field environment=production --field part=platform": By("workflows", "tests/platform/workflows/test_jobs.py", 'part="platform"'),
    "export GITOPS_TOKEN=$(gh auth token)": Not("needs GitHub"),
    "gh workflow run rollback.yml --field environment=production --field build=SHA": By("workflows", "tests/platform/workflows/test_jobs.py", '"rollback.yml"'),
    'scripts/release/override production set SHOUTCLOUD_FALLBACK=local --reason "SHOUTCLOUD is down, incident 42"': By("pipeline", "tests/platform/pipeline/test_platform.py", '"override"'),
    "kubectl --namespace shoutback set env deployment/shoutback --containers=shoutback SHOUTCLOUD_FALLBACK=local": By("gitops-live", "tests/platform/gitops-live/test_lifecycles.py", '"set", "env", "deployment/shoutback"'),
    "argocd login TOOLS_HOST --grpc-web-root-path argocd --sso": Not("signs in through a browser"),
    "argocd app set shoutback --source-position 1 --sync-policy none": By("gitops-live", "tests/platform/gitops-live/test_lifecycles.py", '"--sync-policy"'),
    "argocd app set shoutback --source-position 1 --sync-policy automated --auto-prune --self-heal": By("gitops-live", "tests/platform/gitops-live/test_lifecycles.py", "commands("),
    "argocd app get NAME": By("gitops-live", "tests/platform/gitops-live/test_lifecycles.py", '"get"'),
    "argocd app get otel-collector": By("gitops-live", "tests/platform/gitops-live/test_lifecycles.py", '"get"'),
    "argocd app sync probe": By("gitops", "tests/platform/gitops/test_charts.py", '("sync", "platform/probe"'),
    "openssl s_client -connect HOST:443 -servername HOST </dev/null | openssl x509 -noout -issuer -enddate": Not("needs a public host"),
    "argocd app diff NAME": By("gitops-live", "tests/platform/gitops-live/test_lifecycles.py", '"diff"'),
    "scripts/release/override production list": By("pipeline", "tests/platform/pipeline/test_platform.py", '"list"'),
    "cmctl renew --namespace shoutback shoutback-tls": Not("needs cert-manager; the suite `cluster` checks the permission"),
    "argocd app terminate-op NAME": By("gitops-live", "tests/platform/gitops-live/test_lifecycles.py", '"terminate-op"'),
    "make test-aws": ACCOUNT,
    "environment=staging": ACCOUNT,
    "cd terraform/environment": ACCOUNT,
    "cd terraform/bootstrap": ACCOUNT,
    "cd ../..": ACCOUNT,
}
# By the beginning of a command.
BEGINS = {
    "export AWS_PROFILE=": ACCOUNT,
    "export TF_VAR_": ACCOUNT,
    "terraform init": ACCOUNT,
    "terraform apply": ACCOUNT,
    "terraform destroy": ACCOUNT,
    "terraform state rm": ACCOUNT,
    "printf 'terraform {": ACCOUNT,
    "aws ": ACCOUNT,
    'until [ "$(aws ': ACCOUNT,
    "host=$(sed": ACCOUNT,
    "zone=$(terraform": ACCOUNT,
    "jq --arg hosts": By("terraform", "tests/platform/terraform/test_deploy.py", "jq --arg hosts"),
    "kubectl --namespace argocd get events": RUNBOOKS,
    "kubectl --namespace argocd ": ACCOUNT,
    "kubectl --namespace nginx-ingress annotate service": ACCOUNT,
    "kubectl delete persistentvolumeclaims": ACCOUNT,
    "kubectl get poddisruptionbudgets": ACCOUNT,
    **{f"kubectl --namespace {words}": RUNBOOKS for words in (
        "monitoring get", "shoutback get", "shoutback describe", "shoutback logs", "shoutback delete pod", "shoutback debug", "shoutback patch",
        "shoutback set resources",
    )},
    "gh workflow run override.yml": By("workflows", "tests/platform/workflows/test_jobs.py", '"override.yml"'),
    "mkdir -p /var/lib/grafana": GRAFANA,
    "cp observability/grafana": GRAFANA,
    "cp -r observability/grafana": GRAFANA,
    "sed -i 's|KIBANA_BASE_URL": GRAFANA,
    "PROMETHEUS_URL=": GRAFANA,
    "GITHUB_API_URL=https://api.github.com": By("workflows", "tests/platform/workflows/test_settings.py", '"apply"'),
    "kubectl --namespace shoutback apply --server-side --force-conflicts --field-manager=autoscaling": By("cluster", "tests/platform/cluster/test_handover.py", "field-manager=autoscaling"),
    'curl --user "$CLIENT_ID:$CLIENT_SECRET"': By("integration", "tests/service/integration/conftest.py", "client_credentials"),
}


def known(command):
    if command.text in EXECUTED:
        return EXECUTED[command.text]
    return next((how for beginning, how in BEGINS.items() if command.text.startswith(beginning)), None)


HERE = {}


def here(text):
    """Marks the test that executes the commands which begin with `text`."""

    def mark(function):
        HERE[text] = function
        return function

    return mark


def all_commands():
    return [command for command in commands() if command.page != "docs/deploy.md"]


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: f"{command.page}: {command.text[:60]}")
def test_is_executed_somewhere(command):
    if any(command.text.startswith(text) for text in HERE):
        return
    how = known(command)
    assert how, f"{command.page}: no row in EXECUTED for: {command.text}"
    if isinstance(how, By):
        assert how.suite in suites(), how
        target = TOP / how.file
        files = [target] if target.is_file() else list(target.rglob("*.py"))
        assert any(how.text in file.read_text() for file in files), how


def test_each_row_is_in_the_documentation():
    texts = [command.text for command in all_commands()]
    assert not EXECUTED.keys() - set(texts)
    assert not [beginning for beginning in [*BEGINS, *HERE] if not any(text.startswith(beginning) for text in texts)]


@pytest.fixture(scope="module")
def development(tmp_path_factory):
    """Runs `make dev` as the README documents it for occupied ports, but with free ones. Yields its output."""
    log = tmp_path_factory.mktemp("dev") / "log"
    inherited = {name: os.environ[name] for name in ("HOME", "CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME") if name in os.environ}
    [documented] = [command.text for command in all_commands() if command.text.startswith("HTTP_ADDR=")]
    command = re.sub(r"(?<=127\.0\.0\.1:)\d+", "0", documented)
    assert command.count(":0") == 4, command
    # In the top folder, because make reads the Makefile of its directory; in its own session, so that all its processes can be terminated.
    with Process(["setsid", "env", "-C", TOP, "bash", "-c", command], log, inherited) as process:
        process.until("it prints its lines", lambda: re.search(r'"failure_rate":0,\S*\}\'\n', process.output()), within=600)
        yield process.output()
        os.killpg(process.pid, signal.SIGTERM)
        process.child.wait(timeout=30)


def printed_lines(printed, *beginnings):
    """Returns the lines of `make dev` that begin so."""
    return [line for line in printed.splitlines() if line.startswith(beginnings)]


def printed_address(printed, name):
    return re.search(rf"^{name} +http://([\d.:]+)", printed, re.M)[1]


def shell(command):
    done = subprocess.run(["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def new_token(printed):
    return shell("\n".join([*printed_lines(printed, "export "), 'echo "$TOKEN"'])).strip()


@here("make dev")
@here("HTTP_ADDR=127.0.0.1:8000")
def test_make_dev_prints_working_commands(development):
    exports = printed_lines(development, "export ")
    json_request, text_request, fail, slow, recover = printed_lines(development, "curl ")
    assert shell("\n".join([*exports, json_request])).strip() == '{"data":"!DLROW ,OLLEH"}'
    failed = shell("\n".join([*exports, fail, text_request]))
    assert '"type":"/docs#upstream-unavailable"' in failed
    late = shell("\n".join([*exports, slow, text_request]))
    assert '"type":"/docs#upstream-timeout"' in late
    recovered = shell("\n".join([*exports, f"{recover} >/dev/null", text_request]))
    assert re.search(r"\d\d:\d\d:\d\d", recovered) and recovered == recovered.upper()
    assert "shoutback_build_info" in shell(f"curl -sS http://{printed_address(development, 'Metrics')}/metrics")


def test_make_dev_does_not_print_its_own_command(development):
    assert "cargo run" not in development


def test_the_readme_shows_what_make_dev_prints(development):
    def shape(text):
        """Without what is shortened in the README, and without the ports."""
        return re.sub(r"(?<=CLIENT_ID=)\S+|(?<=CLIENT_SECRET=)\S+|\d+\.\d+\.\d+\.\d+:\d+", "…", text)

    shown = next(block for language, block in FENCE.findall(pages()["README.md"]) if language == "text")
    assert shape(shown.strip()) in shape(development)


@pytest.fixture
def first_request(development, tmp_path):
    """Returns the function that executes the request of docs/api.md `times` times with a quota, and returns the last response."""
    shoutcloud = f"http://{printed_address(development, 'SHOUTCLOUD')}/V1/SHOUT"
    cognito, pool = re.search(r"^Cognito +(http://[\d.:]+)/(\S+)", development, re.M).groups()
    client = re.search(r"CLIENT_ID=(\w+)", development)[1]
    variables = {"AUTH_MODE": "cognito", "COGNITO_ENDPOINT": cognito, "COGNITO_USER_POOL_IDS": pool, "COGNITO_CLIENT_IDS": client}
    command = next(command.text for command in commands() if command.page == "docs/api.md" and command.text.startswith("curl -i"))

    def execute(rate, burst, times=1):
        quota = {"RATE_LIMIT_PER_CLIENT": rate, "RATE_LIMIT_BURST": burst}
        with Shoutback(tmp_path / "log", SHOUTCLOUD_URL=shoutcloud, **variables, **quota) as service:
            call = f"export SHOUTBACK=http://{service.address} TOKEN={new_token(development)}; {command}"
            return [shell(call) for _ in range(times)][-1]

    return execute


def documented_response(language):
    """Returns the first block of this language in docs/api.md, without its command."""
    block = next(block for kind, block in FENCE.findall(pages()["docs/api.md"]) if kind == language)
    return block[block.index("HTTP/1.1") :]


def without(response, *values):
    """Returns a response without the values that differ between requests, and without those that `values` match."""
    response = response.replace("\r", "").strip()
    for value in (r"[0-9a-f]{8}-[0-9a-f-]{27}", r"(?<=^date: ).*", r"(?<=dur=)[\d.]+", r"(?<=;t=)\d+", *values):
        response = re.sub(value, "…", response, flags=re.M)
    return response


@here('curl -i "$SHOUTBACK/v1"')
def test_the_api_responds_as_documented(first_request):
    # The quota may be replenished between two requests.
    remaining = r"(?<=;r=)\d+"
    assert without(first_request("100/s", "200"), remaining) == without(documented_response("console"), remaining)


def test_the_problem_looks_as_documented(first_request):
    """With a quota of one request, because the default is not used up on a slow machine. The page leaves out headers of the first response."""
    quota = (r"(?<=^retry-after: )\d+", r"(?<=;q=)\d+", r"(?<=;w=)\d+")
    sent = without(first_request("1/h", "1", times=2), *quota).splitlines()
    documented = without(documented_response("http"), *quota).splitlines()
    assert documented.count("…") == 1
    assert [line for line in sent if line in documented] == [line for line in documented if line != "…"]


def test_the_requests_of_the_table_have_the_documented_responses(development, tmp_path):
    rows = re.findall(r"^\| `([a-z]+/[a-z]+)` \| `([^`]+)` \| `([^`]+)` \|$", pages()["docs/api.md"], re.M)
    assert [row[0] for row in rows] == ["application/json", "text/plain"]
    with Shoutback(tmp_path / "log", SHOUTCLOUD_URL=f"http://{printed_address(development, 'SHOUTCLOUD')}/V1/SHOUT") as service:
        for form, request, response in rows:
            assert http_request("POST", service.url, request.encode(), {"content-type": form}) == (200, response)


@here("curl -X PUT http://127.0.0.1:5001/_emulator/behaviour")
@here("curl -X POST 'http://127.0.0.1:5002/_emulator/rotate")
def test_the_emulators_can_be_configured(development):
    shoutcloud, cognito = (printed_address(development, name) for name in ("SHOUTCLOUD", "Cognito"))
    page = [command.text for command in all_commands() if command.page == "docs/development.md"]
    [behaviour] = [text for text in page if "_emulator/behaviour" in text]
    shell(behaviour.replace("127.0.0.1:5001", shoutcloud))
    assert '"failure_rate":0.1' in shell(f"curl -sS http://{shoutcloud}/_emulator/behaviour")
    shell(f"""curl -sS -X PUT http://{shoutcloud}/_emulator/behaviour -d '{{"delay":"0s","failure_rate":0}}'""")
    [rotate] = [text for text in page if "_emulator/rotate" in text]
    shell(rotate.replace("127.0.0.1:5002", cognito))


@here("AUTH_MODE=disabled cargo run --release")
@here('curl --header "Content-Type: application/json" -X POST')
def test_the_command_of_the_original_works(development, tmp_path):
    shoutcloud = f"http://{printed_address(development, 'SHOUTCLOUD')}/V1/SHOUT"
    [line] = [command.text for command in all_commands() if command.text.startswith("curl --header")]
    with Shoutback(tmp_path / "log", SHOUTCLOUD_URL=shoutcloud) as service:
        assert shell(line.replace("localhost:5000", service.address)).strip() == '{"data":"!DLROW ,OLLEH"}'


@here("COGNITO_USER_POOL_IDS=us-east-2_AbCdEfGhI")
def test_the_documented_configuration_is_valid():
    page = pages()["docs/configuration.md"]
    [(line, output)] = re.findall(r"^\$ (COGNITO_.*)\n(.*)$", page, re.M)
    assert shell(re.sub(r"\bshoutback\b(?= check)", binary(), line)).strip() == output
    required = re.findall(r"^\| `(\w+)` \| [*]required[*] \|", page, re.M)
    assert required == re.findall(r"(\w+)=", line)


@here("LOG_FORMAT=pretty AUTH_MODE=disabled shoutback")
def test_the_pretty_log_looks_as_documented(development, tmp_path):
    shoutcloud = f"http://{printed_address(development, 'SHOUTCLOUD')}/V1/SHOUT"
    log = tmp_path / "log"
    variables = {"SHOUTCLOUD_URL": shoutcloud, "LOG_FORMAT": "pretty", "AUTH_MODE": "disabled", "HTTP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0"}
    with Process([binary()], log, variables | {"SHUTDOWN_GRACE": "0ms"}) as process:
        address = process.until("it listens", lambda: re.search(r"shoutback\.http_addr=(\S+)", process.output()))[1]
        shell(f"curl -sS http://{address}/v1 -d hello -H 'content-type: text/plain'")
        line = process.until("it logs", lambda: re.search(r"^.* POST /v1 .*$", process.output(), re.M))[0]
    documented = re.search(r"^\d{4}-.* POST /v1 .*$", pages()["docs/logging.md"], re.M)[0]
    assert shape(line) == shape(documented)


def shape(line):
    """Returns a log line with the values that differ between requests replaced."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", re.sub(r"\d+\.\d+ ms", "N ms", re.sub(r"^\S+Z", "TIME", line)))


@here("helm upgrade --install shoutback helm/shoutback")
@pytest.mark.helm
def test_the_chart_renders_with_the_documented_options():
    found = [command.text for command in all_commands() if command.text.startswith("helm upgrade --install shoutback")]
    assert len(found) == 2
    for text in found:
        text = text.replace("helm upgrade --install", "helm template")
        text = text.replace("COMMIT", "0" * 40).replace("sha256:DIGEST", f"sha256:{'0' * 64}").replace("image.tag=latest", f"image.tag={'0' * 40}")
        if "gitops/service/staging" in text:
            text += " --values tests/platform/filled-values.yaml"
        assert "kind: Deployment" in shell(f"cd {TOP} && {text}")


def test_make_help_lists_each_target():
    done = subprocess.run(["make", "-C", TOP, "--no-print-directory", "help"], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^  make ([a-z-]+) ", done.stdout, re.M))
    assert listed == set(re.findall(r"^([a-z-]+):.*## ", (TOP / "Makefile").read_text(), re.M)) and len(listed) > 10
