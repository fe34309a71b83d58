"""The resources of observability/cloudwatch as Terraform renders them, and a Prometheus in place of CloudWatch."""

import json
import subprocess
from pathlib import Path
from urllib.parse import urlencode

from harness.process import Process, responds_ok, http_request
from harness.terraform import environment
from harness.toxiproxy import free_port

SHIPPED = Path(__file__).parents[4] / "observability/cloudwatch"

VARIABLES = {
    "environment": "ENVIRONMENT-NAME",
    "name_prefix": "prefix-",
    "region": "eu-central-1",
    "log_group": "/log/group",
    "page_topic_arn": "arn:aws:sns:eu-central-1:123456789012:page",
    "ticket_topic_arn": "arn:aws:sns:eu-central-1:123456789012:ticket",
    "runbook_base_url": "https://runbook.example",
}

# As terraform/modules/observability combines the files.
MODULE = """
variable "directory" {}
variable "vars" {}
locals {
  alarms = [
    for name in fileset(var.directory, "alarms/*.yaml") : yamldecode(templatefile("${var.directory}/${name}", var.vars))
  ]
  metric    = flatten([for file in local.alarms : try(file.metric_alarms, [])])
  composite = flatten([for file in local.alarms : try(file.composite_alarms, [])])
  dashboard = yamldecode(templatefile("${var.directory}/dashboard.yaml", var.vars))
  insights = {
    for name in fileset(var.directory, "insights/*.query") :
    trimsuffix(basename(name), ".query") => file("${var.directory}/${name}")
  }
  arns = [
    for alarm in concat(local.composite, local.metric) :
    "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:${alarm.AlarmName}"
  ]
}
output "metric_alarms" { value = local.metric }
output "composite_alarms" { value = local.composite }
output "insights" { value = local.insights }
output "stack" {
  value = templatefile("${var.directory}/stack.json.tftpl",
    merge(var.vars, { metric_alarms = local.metric, composite_alarms = local.composite }))
}
output "dashboard" {
  value = templatefile("${var.directory}/dashboard.json.tftpl",
    merge(var.vars, { dashboard = local.dashboard, insights = local.insights, alarm_arns = local.arns }))
}
"""


def rendered(directory):
    """Returns the outputs of MODULE: objects, and `stack` and `dashboard` as text."""
    (directory / "main.tf").write_text(MODULE)
    (directory / "terraform.tfvars.json").write_text(json.dumps({"directory": str(SHIPPED), "vars": VARIABLES}))
    variables = environment() | {"TF_DATA_DIR": str(directory / ".terraform")}

    def terraform(*command):
        return subprocess.run(["terraform", *command], cwd=directory, env=variables, check=True, stdout=subprocess.PIPE).stdout

    terraform("init", "-no-color")
    terraform("apply", "-auto-approve", "-no-color")
    return {name: output["value"] for name, output in json.loads(terraform("output", "-json")).items()}


class Store(Process):
    """Stores OTLP metrics as CloudWatch documents it: unchanged names and attributes, native histograms."""

    def __init__(self, directory):
        configuration = {
            "otlp": {"translation_strategy": "NoTranslation", "convert_histograms_to_nhcb": True},
            "storage": {"tsdb": {"out_of_order_time_window": "10m"}},
        }
        (directory / "prometheus.yml").write_text(json.dumps(configuration))
        self.api = f"http://127.0.0.1:{free_port()}"
        super().__init__(
            [
                "prometheus",
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={self.api.removeprefix('http://')}",
                "--web.enable-otlp-receiver",
                "--log.level=warn",
            ],
            directory / "prometheus.log",
        )
        with self.starting():
            self.until("it is ready", lambda: responds_ok(f"{self.api}/-/ready"))

    @property
    def otlp(self):
        return f"{self.api}/api/v1/otlp/v1/metrics"

    def get(self, path, **parameters):
        """Returns the data of a response, and its annotations."""
        form = {"content-type": "application/x-www-form-urlencoded"}
        status, text = http_request("POST", f"{self.api}/api/v1/{path}", urlencode(parameters).encode(), form)
        assert status == 200, f"{path} {parameters}: {text}"
        response = json.loads(text)
        return response["data"], response.get("warnings", []) + response.get("infos", [])
