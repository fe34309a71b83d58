"""Generates nginx.conf from an Ingress and a ConfigMap, as F5's NGINX Ingress Controller 5.6 documents it (`f5-options` names the pages),
limited to open-source NGINX and to the options of the manifests here.

An unknown annotation, key, field or value is an error.
"""

import re

# What makes the controller reject an Ingress, or ignore a key of its ConfigMap, is an error here.


def boolean(value):
    words = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    return words[value.lower()]


def matching(pattern):
    def parse(value):
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {pattern}")
        return value

    return parse


def words_of(*allowed):
    def parse(value):
        words = value.split()
        if not words or set(words) - set(allowed) or len(set(words)) < len(words):
            raise ValueError(f"{value!r} is not made of {allowed}")
        return value

    return parse


def comma_separated(value):
    return [part.strip() for part in value.split(",")]


def lines(value):
    return value.split("\n")


def one_of(*allowed):
    def parse(value):
        if value not in allowed:
            raise ValueError(f"{value!r} is none of {allowed}")
        return value

    return parse


number = matching(r"\d+")
time = matching(r"(?=.)(\d+h)?(\d+m)?(\d+s?)?(\d+ms)?")
size = matching(r"\d+[kKmM]?")
offset = matching(r"\d+[kKmMgG]?")
rate = matching(r"[1-9]\d*r/[sm]")
key = matching(r"(\$\{[a-zA-Z_]\w*\}|\$[a-zA-Z_]\w*)+")
text = matching(r"[^\n;{}]+")

ANNOTATION, CONFIG_MAP = 1, 2
BOTH = ANNOTATION | CONFIG_MAP

# Annotation, ConfigMap key or both, the parser, and the controller's default. Annotations override the ConfigMap.
PARAMETERS = {
    "client-body-buffer-size": (BOTH, size, None),
    "client-max-body-size": (BOTH, offset, "1m"),
    "error-log-level": (CONFIG_MAP, one_of("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"), "notice"),
    "fail-timeout": (BOTH, time, "10s"),
    "hsts": (BOTH, boolean, False),
    "hsts-include-subdomains": (BOTH, boolean, False),
    "hsts-max-age": (BOTH, number, "2592000"),
    "http-redirect-code": (BOTH, one_of("301", "302", "307", "308"), "301"),
    "http-snippets": (CONFIG_MAP, lines, []),
    "http2": (CONFIG_MAP, boolean, False),
    "keepalive": (BOTH, number, "0"),
    "keepalive-requests": (CONFIG_MAP, number, "1000"),
    "keepalive-timeout": (CONFIG_MAP, time, "75s"),
    "lb-method": (BOTH, one_of("round_robin", "least_conn", "random", "random two least_conn"), "random two least_conn"),
    "limit-req-burst": (ANNOTATION, number, None),
    "limit-req-key": (ANNOTATION, key, "${binary_remote_addr}"),
    "limit-req-log-level": (ANNOTATION, one_of("info", "notice", "warn", "error"), "error"),
    "limit-req-no-delay": (ANNOTATION, boolean, False),
    "limit-req-rate": (ANNOTATION, rate, None),
    "limit-req-reject-code": (ANNOTATION, matching(r"[45]\d\d"), "429"),
    "limit-req-zone-size": (ANNOTATION, size, "10m"),
    "log-format": (CONFIG_MAP, lines, []),
    "log-format-escaping": (CONFIG_MAP, one_of("default", "json", "none"), None),
    "max-fails": (BOTH, number, "1"),
    "proxy-buffering": (BOTH, boolean, True),
    "proxy-connect-timeout": (BOTH, time, "60s"),
    "proxy-max-temp-file-size": (BOTH, size, None),
    "proxy-next-upstream": (ANNOTATION, words_of("error", "timeout", "invalid_header", "non_idempotent", "off"), None),
    "proxy-next-upstream-timeout": (ANNOTATION, time, None),
    "proxy-next-upstream-tries": (ANNOTATION, number, None),
    "proxy-protocol": (CONFIG_MAP, boolean, False),
    "proxy-read-timeout": (BOTH, time, "60s"),
    "proxy-send-timeout": (BOTH, time, "60s"),
    "real-ip-header": (CONFIG_MAP, text, None),
    "real-ip-recursive": (CONFIG_MAP, boolean, False),
    # Annotations only work with `enableSnippets`, which our controller does not set.
    "server-snippets": (CONFIG_MAP, lines, []),
    "server-tokens": (BOTH, boolean, True),
    "set-real-ip-from": (CONFIG_MAP, comma_separated, []),
    "ssl-ciphers": (CONFIG_MAP, text, None),
    "ssl-prefer-server-ciphers": (CONFIG_MAP, boolean, False),
    "ssl-protocols": (CONFIG_MAP, text, None),
    "ssl-redirect": (BOTH, boolean, True),
    "upstream-zone-size": (BOTH, size, "256k"),
    "worker-connections": (CONFIG_MAP, number, "1024"),
    "worker-processes": (CONFIG_MAP, matching(r"auto|\d+"), "auto"),
    "worker-rlimit-nofile": (CONFIG_MAP, number, None),
    "worker-shutdown-timeout": (CONFIG_MAP, time, None),
}

# For cert-manager and external-dns, not for the controller.
OTHERS_ANNOTATIONS = re.compile(r"(.+\.)?cert-manager\.io/.+|external-dns(\.alpha)?\.kubernetes\.io/.+")

# A directive of our snippets that NGINX before the controller's 1.31 does not support: omitted there.
SINCE = {"keepalive_min_timeout": (1, 27, 4)}


class Unknown(Exception):
    """An option that this generator does not support."""


def parameters(entries, annotations):
    """Returns the effective parameters of an Ingress with these annotations."""
    values = {name: default for name, (_, _, default) in PARAMETERS.items()}
    for name, value in entries.items():
        values[name] = read(name, value, CONFIG_MAP)
    for name, value in annotations.items():
        if name.startswith("nginx.org/"):
            name = name.removeprefix("nginx.org/")
            values[name] = read(name, value, ANNOTATION)
        elif not OTHERS_ANNOTATIONS.fullmatch(name):
            raise Unknown(name)
    return values


def read(name, value, layout):
    if name not in PARAMETERS or not PARAMETERS[name][0] & layout:
        raise Unknown(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string, which Kubernetes would reject: {value!r}")
    try:
        return PARAMETERS[name][1](value)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


def require_known(what, mapping, *names):
    if unknown := set(mapping) - set(names):
        raise Unknown(f"{what}: {sorted(unknown)}")


class Layout:
    """The local parts of a configuration: ports in place of 80 and 443, a folder, and the load balancer's address, if it is not in the
    trusted networks."""

    def __init__(self, directory, http, https, version, user, balancer):
        self.directory, self.http, self.https, self.version, self.user = directory, http, https, version, user
        self.balancer = balancer

    def port(self, port):
        return {80: self.http, 443: self.https}[port]

    @property
    def access_log(self):
        return self.directory / "access.log"

    @property
    def version_socket(self):
        return self.directory / "version.sock"


def configuration(ingress, entries, endpoints, secrets, layout, config_version=1):
    """Returns nginx.conf. `endpoints` maps Services and ports to addresses, `secrets` maps Secrets to PEM files."""
    main = parameters(entries, {})
    return "\n".join(
        [
            f"daemon off; pid {layout.directory}/nginx.pid; error_log stderr {main['error-log-level']};",
            *([f"user {layout.user};"] if layout.user else []),
            f"worker_processes {main['worker-processes']};",
            *optional("worker_rlimit_nofile", main["worker-rlimit-nofile"]),
            *optional("worker_shutdown_timeout", main["worker-shutdown-timeout"]),
            f"events {{ worker_connections {main['worker-connections']}; }}",
            "http {",
            *http(main, layout),
            *version_server(config_version, layout),
            *default_server(main, layout),
            *of_ingress(ingress, entries, endpoints, secrets, layout),
            "}",
            "",
        ]
    )


def optional(directive, value):
    return [f"{directive} {value};"] if value is not None else []


def http(main, layout):
    # The image has NGINX's default folders.
    for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        yield f"{what}_temp_path {layout.directory}/{what};"
    yield "default_type application/octet-stream; map_hash_max_size 2048; map_hash_bucket_size 256;"
    yield "server_names_hash_max_size 1024; server_names_hash_bucket_size 256;"
    yield "variables_hash_bucket_size 256; variables_hash_max_size 1024; sendfile on;"
    yield from snippets(main["http-snippets"], layout)
    escape = f"escape={main['log-format-escaping']}" if main["log-format-escaping"] else ""
    formats = "\n".join(f"'{' ' if index else ''}{line}'" for index, line in enumerate(main["log-format"]) if line)
    yield f"log_format main {escape} {formats};" if formats else "log_format main '$remote_addr \"$request\" $status';"
    yield f"access_log {layout.access_log} main;"
    yield f"keepalive_timeout {main['keepalive-timeout']}; keepalive_requests {main['keepalive-requests']};"
    for variable in ("resource_type", "resource_name", "resource_namespace", "service"):
        yield f'map $http_host ${variable} {{ default ""; }}'
    yield from optional("ssl_protocols", main["ssl-protocols"])
    if main["ssl-ciphers"]:
        yield f'ssl_ciphers "{main["ssl-ciphers"]}";'
    if main["ssl-prefer-server-ciphers"]:
        yield "ssl_prefer_server_ciphers on;"


def snippets(lines, layout):
    for line in lines:
        since = SINCE.get(line.split(" ", 1)[0])
        if not since or layout.version >= since:
            yield line


def version_server(config_version, layout):
    """Returns the server by which the controller detects that workers with the new configuration have started."""
    yield f"server {{ listen unix:{layout.version_socket}; access_log off;"
    yield f"location /configVersion {{ return 200 {config_version}; }} }}"


def listen(values, layout, ports, options=""):
    protocol = " proxy_protocol" if values["proxy-protocol"] else ""
    for port in ports:
        # Since NGINX 1.25, the directive `http2 on;`.
        old = " http2" if port == 443 and values["http2"] and layout.version < (1, 25, 1) else ""
        ssl = " ssl" if port == 443 else ""
        yield f"listen 127.0.0.1:{layout.port(port)}{ssl}{old}{options}{protocol};"
    if 443 in ports and values["http2"] and layout.version >= (1, 25, 1):
        yield "http2 on;"


def real_ip(values, layout):
    for network in values["set-real-ip-from"]:
        yield f"set_real_ip_from {layout.balancer or network};"
    yield from optional("real_ip_header", values["real-ip-header"])
    if values["real-ip-recursive"]:
        yield "real_ip_recursive on;"


def default_server(main, layout):
    """Returns the server for unknown hosts. Without a default certificate it rejects the handshake."""
    yield "server {"
    yield from listen(main, layout, (80, 443), " default_server")
    yield "ssl_reject_handshake on;"
    yield from real_ip(main, layout)
    yield f"server_name _; server_tokens {'on' if main['server-tokens'] else 'off'};"
    yield "location / { return 404; }"
    yield "}"


def of_ingress(ingress, entries, endpoints, secrets, layout):
    metadata, spec = ingress["metadata"], ingress["spec"]
    require_known("spec", spec, "ingressClassName", "tls", "rules")
    name, namespace = metadata["name"], metadata["namespace"]
    values = parameters(entries, metadata.get("annotations", {}))
    if values["limit-req-rate"]:
        zone = f"{namespace}/{name}"
        yield f"limit_req_zone {values['limit-req-key']} zone={zone}:{values['limit-req-zone-size']}"
        yield f"rate={values['limit-req-rate']};"
    for rule in spec["rules"]:
        require_known("rule", rule, "host", "http")
        upstreams = {}
        for path in rule["http"]["paths"]:
            require_known("path", path, "path", "pathType", "backend")
            service = path["backend"]["service"]
            port = service["port"].get("name") or service["port"]["number"]
            upstream = f"{namespace}-{name}-{rule['host']}-{service['name']}-{port}"
            upstreams[path["path"], path["pathType"]] = upstream, service["name"]
            yield from of_upstream(upstream, endpoints[service["name"], port], values)
        certificates = []
        for tls in spec.get("tls", []):
            require_known("tls", tls, "hosts", "secretName")
            if rule["host"] in tls["hosts"]:
                certificates.append(secrets[tls["secretName"]])
        yield from server(ingress, rule["host"], certificates, upstreams, values, layout)


def of_upstream(name, addresses, values):
    yield f"upstream {name} {{"
    if values["upstream-zone-size"] != "0":
        yield f"zone {name} {values['upstream-zone-size']};"
    if values["lb-method"] != "round_robin":
        yield f"{values['lb-method']};"
    # Without endpoints the controller configures a server that responds with 502; here nothing listens on its port.
    for address in sorted(addresses) or ["127.0.0.1:8181"]:
        yield f"server {address} max_fails={values['max-fails']} fail_timeout={values['fail-timeout']} max_conns=0;"
    if values["keepalive"] != "0":
        yield f"keepalive {values['keepalive']};"
    yield "}"


def server(ingress, host, certificates, upstreams, values, layout):
    yield "server {"
    yield from listen(values, layout, (80, 443) if certificates else (80,))
    for certificate in certificates:
        yield f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
    yield from real_ip(values, layout)
    yield f"server_tokens {'on' if values['server-tokens'] else 'off'}; server_name {host};"
    yield f'set $resource_type "ingress"; set $resource_name "{ingress["metadata"]["name"]}";'
    yield f'set $resource_namespace "{ingress["metadata"]["namespace"]}"; set $service "-";'
    if values["hsts"] and certificates:
        subdomains = "includeSubDomains; " if values["hsts-include-subdomains"] else ""
        yield 'set $hsts_header_val ""; proxy_hide_header Strict-Transport-Security;'
        yield f'if ($https = on) {{ set $hsts_header_val "max-age={values["hsts-max-age"]}; {subdomains}preload"; }}'
        yield 'add_header Strict-Transport-Security "$hsts_header_val" always;'
    if certificates and values["ssl-redirect"]:
        yield f"if ($scheme = http) {{ return {values['http-redirect-code']} https://$host:443$request_uri; }}"
    yield from snippets(values["server-snippets"], layout)
    for (path, kind), (upstream, service) in upstreams.items():
        yield from location(path, kind, upstream, service, ingress["metadata"], values)
    yield "}"


def location(path, kind, upstream, service, metadata, values):
    yield f"location {'= ' if one_of('Exact', 'Prefix')(kind) == 'Exact' else ''}{path} {{"
    yield f'set $service "{service}"; proxy_http_version 1.1;'
    if values["keepalive"] != "0":
        yield 'proxy_set_header Connection "";'
    for timeout in ("connect", "read", "send"):
        yield f"proxy_{timeout}_timeout {values[f'proxy-{timeout}-timeout']};"
    yield f"client_max_body_size {values['client-max-body-size']};"
    yield from optional("client_body_buffer_size", values["client-body-buffer-size"])
    yield "proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;"
    yield "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Host $host;"
    yield "proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;"
    yield f"proxy_buffering {'on' if values['proxy-buffering'] else 'off'};"
    yield from optional("proxy_max_temp_file_size", values["proxy-max-temp-file-size"])
    for suffix in ("", "-timeout", "-tries"):
        yield from optional(f"proxy_next_upstream{suffix.replace('-', '_')}", values[f"proxy-next-upstream{suffix}"])
    yield f"proxy_pass http://{upstream};"
    if values["limit-req-rate"]:
        burst = f" burst={values['limit-req-burst']}" if values["limit-req-burst"] else ""
        delay = " nodelay" if values["limit-req-no-delay"] else ""
        yield f"limit_req zone={metadata['namespace']}/{metadata['name']}{burst}{delay};"
        yield f"limit_req_log_level {values['limit-req-log-level']}; limit_req_status {values['limit-req-reject-code']};"
    yield "}"
