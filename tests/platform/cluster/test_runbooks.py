"""The commands of the runbooks, executed by the teams that they are for."""

import pytest
from chart import NAMESPACE, apply_as_deployer, delete, pods, ready, render, rolled_out, selector, values_of
from permissions import TEAMS

from harness.runbooks import commands

COMMANDS = sorted({command for _, command in commands("kubectl")})
# The section names the role.
BREAK_GLASS = "kubectl --namespace shoutback debug "
# No kubelet serves logs here; the request is authorized before it fails.
LOGS = "kubectl --namespace shoutback logs "


@pytest.fixture(scope="module")
def release(clusters):
    """Yields production's cluster with the service, as Argo CD deploys it."""
    cluster, objects = clusters["production"], render(values_of("production")).objects
    apply_as_deployer(cluster, objects)
    yield cluster
    delete(cluster, objects)


@pytest.fixture
def pod(release):
    """Returns the name of a running pod."""
    found = rolled_out(release, least=3)
    return next(pod["metadata"]["name"] for pod in pods(release, selector(found["spec"]["selector"])) if ready(pod))


def executed(cluster, command, pod, team, directory):
    flags = " ".join(TEAMS[team].flags)
    # Without a terminal and a kubelet, nothing can be attached to a container.
    command = command.replace("POD", pod).replace(" --stdin --tty", "").replace("kubectl ", f"kubectl {flags} ", 1)
    return cluster.run("bash", "-c", f"cd {directory} && {command}", check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_team_may_execute_it(release, pod, tmp_path, command):
    team = "break-glass" if command.startswith(BREAK_GLASS) else "sre"
    done = executed(release, command, pod, team, tmp_path)
    if command.startswith(LOGS):
        assert "no preferred addresses" in done.stderr, done
    else:
        assert done.returncode == 0, done


def test_all_kinds_of_commands_are_covered():
    assert len(COMMANDS) > 10 and all(command.startswith("kubectl --namespace ") for command in COMMANDS)
    assert [command for command in COMMANDS if command.startswith(BREAK_GLASS)] and [command for command in COMMANDS if command.startswith(LOGS)]


def test_only_break_glass_adds_a_container(release, pod, tmp_path):
    [command] = [command for command in COMMANDS if command.startswith(BREAK_GLASS)]
    done = executed(release, command, pod, "sre", tmp_path)
    assert done.returncode != 0 and "forbidden" in done.stderr.lower(), done


def test_the_changes_have_an_effect(release, pod, tmp_path):
    changes = [command for command in COMMANDS if " set " in command or " patch " in command]
    assert len(changes) >= 4
    release.kubectl(f"--namespace={NAMESPACE}", "set", "resources", "deployment/shoutback", "--limits=cpu=500m,memory=950Mi")
    for command in changes:
        assert executed(release, command, pod, "sre", tmp_path).returncode == 0, command
    [container] = rolled_out(release)["spec"]["template"]["spec"]["containers"]
    assert "cpu" not in container["resources"]["limits"] and container["resources"]["limits"]["memory"] == "1Gi"
    assert {"name": "SHOUTCLOUD_FALLBACK", "value": "local"} in container["env"]
    autoscaler = release.api.get(f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/shoutback")
    assert autoscaler["spec"]["minReplicas"] == 6
