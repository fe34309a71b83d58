"""The placeholders REPLACE_WITH_… of gitops/, for tests of a checkout in which an adopter has filled them in."""

import re

ENVIRONMENTS = ("staging", "production")

# By file, each line with a placeholder. Its key, with the indentation, occurs once in the file.
LINES = {
    "gitops/platform/{}/external-dns.yaml": ["extraArgs: [--zone-id-filter=REPLACE_WITH_ZONE_ID]"],
    "gitops/platform/{}/kube-prometheus-stack.yaml": ["  toolsHost: REPLACE_WITH_TOOLS_HOST"],
    "gitops/platform/{}/oauth2-proxy.yaml": [
        "  host: REPLACE_WITH_TOOLS_HOST",
        "  issuer: REPLACE_WITH_TOOLS_ISSUER",
        "  clientId: REPLACE_WITH_TOOLS_CLIENT_ID",
    ],
    "gitops/platform/{}/probe.yaml": [
        "url: https://REPLACE_WITH_API_HOST/v1",
        "clientId: REPLACE_WITH_MACHINE_CLIENT_ID",
        "tokenUrl: https://REPLACE_WITH_COGNITO_DOMAIN/oauth2/token",
    ],
    "gitops/platform/{}/values.yaml": [
        "repository: https://github.com/REPLACE_WITH_REPOSITORY.git",
        "serviceImage: REPLACE_WITH_ACCOUNT_ID.dkr.ecr.REPLACE_WITH_REGION.amazonaws.com/shoutback",
        "  registry: REPLACE_WITH_IMAGE_CACHE",
        "  region: REPLACE_WITH_REGION",
        "  zoneId: REPLACE_WITH_ZONE_ID",
        "  appId: REPLACE_WITH_GITHUB_APP_ID",
        "  installationId: REPLACE_WITH_GITHUB_INSTALLATION_ID",
        "  url: https://REPLACE_WITH_DOCS_HOST",
        "  host: REPLACE_WITH_TOOLS_HOST",
        "  issuer: REPLACE_WITH_TOOLS_ISSUER",
        "  argocdClientId: REPLACE_WITH_ARGOCD_CLIENT_ID",
    ],
    "gitops/service/{}/values.yaml": [
        "  repository: REPLACE_WITH_ACCOUNT_ID.dkr.ecr.REPLACE_WITH_REGION.amazonaws.com/shoutback",
        "  COGNITO_USER_POOL_IDS: REPLACE_WITH_USER_POOL_ID",
        "  COGNITO_CLIENT_IDS: REPLACE_WITH_CLIENT_IDS",
        "  DOCS_COGNITO_DOMAIN: REPLACE_WITH_COGNITO_DOMAIN",
        "  DOCS_CLIENT_ID: REPLACE_WITH_PUBLIC_CLIENT_ID",
        "  runbookBaseUrl: https://REPLACE_WITH_DOCS_HOST",
        "  grafanaBaseUrl: https://REPLACE_WITH_TOOLS_HOST/grafana",
        "  kibanaBaseUrl: https://REPLACE_WITH_TOOLS_HOST/kibana",
        "  tracesBaseUrl: https://REPLACE_WITH_REGION.console.aws.amazon.com/cloudwatch/home?region=REPLACE_WITH_REGION#xray:traces",
        "  host: REPLACE_WITH_API_HOST",
    ],
}


def restore(folder):
    """Puts the placeholders back in a copy of the checkout, so that the tests can fill in the values that they know."""
    for environment in ENVIRONMENTS:
        for name, lines in LINES.items():
            file = folder / name.format(environment)
            if not file.exists():
                continue
            text = file.read_text()
            for line in lines:
                key = line.partition(":")[0]
                text, count = re.subn(rf"^{key}:.*", lambda _, line=line: line, text, flags=re.MULTILINE)
                assert count == 1, f"{file}: {count} lines begin with {key!r}"
            file.write_text(text)
