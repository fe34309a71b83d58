"""The optional part, which is off by default: the canary."""

import copy
import re
import subprocess

import yaml

def test_they_are_off_by_default(applications):
    assert not {"canary", "argo-rollouts"} & applications.keys()


def test_the_canary_uses_the_charts_deployment(switched, released):
    applications = switched("canary")
    rollout, deployment = applications["canary"].one("Rollout")["spec"], applications["shoutback"].one("Deployment")
    assert rollout["workloadRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"], "scaleDown": "progressively"}
    assert "argo-rollouts" in applications
    # Argo CD does not revert the scaling down, and nothing scales it up.
    [ignored] = applications["shoutback"].spec["ignoreDifferences"]
    assert ignored == {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}
    assert "RespectIgnoreDifferences=true" in applications["shoutback"].spec["syncPolicy"]["syncOptions"]
    assert not [thing for thing in applications["shoutback"].objects if thing["kind"] == "HorizontalPodAutoscaler"]


def test_the_canary_scales_like_the_service(switched, released):
    before = copy.deepcopy(released.applications["production"]["shoutback"].one("HorizontalPodAutoscaler")["spec"])
    after = copy.deepcopy(switched("canary")["canary"].one("HorizontalPodAutoscaler")["spec"])
    assert before.pop("scaleTargetRef")["kind"] == "Deployment" and after.pop("scaleTargetRef")["kind"] == "Rollout"
    assert before == after


def test_the_pipeline_is_notified_when_the_canary_has_finished(switched):
    applications = switched("canary")
    notified = {name for name, one in applications.items() if any("notifications" in mark for mark in one.manifest["metadata"].get("annotations", {}))}
    assert notified == {"canary", "platform"}
    assert applications["canary"].sources[0]["ref"] == "deployed"


def test_the_canary_is_analysed_by_the_slo_queries(switched, page):
    """Only for the new replicas: each query is that of a recording rule with one more matcher."""
    recorded = {
        rule["labels"]["slo"]: rule["expr"]
        for group in yaml.safe_load(page("observability/prometheus/rules/slo-recording.yaml"))["groups"]
        for rule in group["rules"]
        if rule["record"] == "job_environment_slo:shoutback_bad:ratio_rate5m"
    }
    alerts = page("observability/prometheus/rules/slo-alerts.yaml")
    template = switched("canary")["canary"].one("AnalysisTemplate")["spec"]
    assert [metric["name"] for metric in template["metrics"]] == ["availability", "latency"]
    matcher = ',pod=~"shoutback-{{args.hash}}-.*"'
    for metric in template["metrics"]:
        query = metric["provider"]["prometheus"]["query"]
        assert query.count(matcher) == query.count("{job=") >= 2
        assert query.replace(matcher, "").split() == recorded[metric["name"]].split()
        done = subprocess.run(["promtool", "--experimental", "promql", "format", query.replace("{{args.hash}}", "abc")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        bound = re.search(r"result\[0\] <= (.*)$", metric["successCondition"])[1]
        assert f'ratio_rate5m{{slo="{metric["name"]}"}} > {bound}' in alerts or f'ratio_rate5m{{slo=~"{metric["name"]}.*"}} > {bound}' in alerts


def test_the_canary_ends_within_the_pipelines_timeout(switched, page):
    canary = switched("canary")["canary"]
    steps = canary.one("Rollout")["spec"]["strategy"]["canary"]["steps"]
    watched = sum(1 for step in steps if "analysis" in step)
    assert watched == 2
    longest = max(minutes(metric["initialDelay"]) + (metric["count"] - 1) * minutes(metric["interval"]) for metric in canary.one("AnalysisTemplate")["spec"]["metrics"])
    timeout = re.search(r'\("WAIT_TIMEOUT", "(\d+)m"\)', page("scripts/release/wait"))[1]
    # Ten minutes for the start of replicas, and for Argo CD, which polls git every three minutes.
    assert watched * longest + 10 < int(timeout)


def test_each_release_changes_the_canary(switched):
    """Otherwise Argo CD would not sync, and the pipeline would get no status."""
    canary = switched("canary")["canary"]
    tag = next(parameter["value"] for source in canary.sources for parameter in source.get("helm", {}).get("parameters", []) if parameter["name"] == "image.tag")
    assert canary.one("Rollout")["metadata"]["labels"]["app.kubernetes.io/version"] == tag


def test_the_canary_is_added_without_losing_replicas_and_not_pruned(switched):
    canary = switched("canary")["canary"]
    scaler, rollout = canary.one("HorizontalPodAutoscaler")["spec"], canary.one("Rollout")["spec"]
    assert rollout["replicas"] == scaler["maxReplicas"]
    [ignored] = canary.spec["ignoreDifferences"]
    assert ignored == {"group": "argoproj.io", "kind": "Rollout", "jsonPointers": ["/spec/replicas"]}
    assert "RespectIgnoreDifferences=true" in canary.spec["syncPolicy"]["syncOptions"]
    sets = [thing for thing in switched("canary")["argocd-settings"].objects if thing["kind"] == "ApplicationSet"]
    [of_canary] = [thing for thing in sets if thing["metadata"]["name"] == "canary"]
    assert of_canary["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=confirm,Delete=confirm"


def minutes(text):
    return int(text.removesuffix("m"))
