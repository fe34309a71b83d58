{{/*
Ingress and HTTPRoute wait this many seconds longer than REQUEST_TIMEOUT for a response, so that the
service reports the error.
*/}}
{{- define "shoutback.ingress.timeout" -}}
{{- add (include "shoutback.seconds" (list . "REQUEST_TIMEOUT")) 5 -}}
{{- end }}

{{/*
The Ingress' annotations. docs/ingress.md describes what clients notice of them.
*/}}
{{- define "shoutback.ingress.annotations" -}}
{{- $bytes := include "shoutback.bytes" (list . "MAX_BODY_BYTES") | int64 -}}
{{- $timeout := include "shoutback.ingress.timeout" . -}}
{{- with .Values.ingress -}}
{{- with .tls.certManager }}
{{- if .issuer }}
cert-manager.io/{{ eq .kind "Issuer" | ternary "issuer" "cluster-issuer" }}: {{ .issuer | quote }}
{{- end }}
{{- if .http01 }}
{{- /* A second Ingress of the same host would be rejected, and without a certificate the redirect to https would fail. */}}
acme.cert-manager.io/http01-edit-in-place: "true"
cert-manager.io/issue-temporary-certificate: "true"
{{- end }}
{{- end }}
{{- /* Preserves the method POST. */}}
nginx.org/http-redirect-code: "308"
nginx.org/ssl-redirect: "true"
nginx.org/hsts: "true"
nginx.org/hsts-max-age: {{ .hsts.maxAge | int64 | quote }}
nginx.org/hsts-include-subdomains: {{ .hsts.includeSubdomains | quote }}
nginx.org/server-tokens: "false"
nginx.org/client-max-body-size: {{ $bytes | quote }}
{{- /* Request and response bodies up to a MiB are not written to disk. A quarter more is for the framing of chunks. */}}
nginx.org/client-body-buffer-size: {{ min (add $bytes (div $bytes 4)) 1048576 | quote }}
nginx.org/proxy-max-temp-file-size: "0"
nginx.org/proxy-connect-timeout: 2s
nginx.org/proxy-send-timeout: {{ $timeout }}s
nginx.org/proxy-read-timeout: {{ $timeout }}s
{{- /* Retries requests on another replica only if none can have started them: without non_idempotent, a POST only before it was sent. */}}
nginx.org/proxy-next-upstream: error timeout
nginx.org/proxy-next-upstream-tries: "3"
nginx.org/proxy-next-upstream-timeout: 10s
nginx.org/keepalive: {{ .keepalive | int | quote }}
{{- if .rateLimit.perSecond }}
nginx.org/limit-req-rate: {{ .rateLimit.perSecond | int }}r/s
nginx.org/limit-req-burst: {{ .rateLimit.burst | int | quote }}
nginx.org/limit-req-no-delay: "true"
nginx.org/limit-req-key: ${binary_remote_addr}
{{- /* Enough for some 160,000 addresses. */}}
nginx.org/limit-req-zone-size: 10m
nginx.org/limit-req-reject-code: "429"
nginx.org/limit-req-log-level: info
{{- end }}
{{- with .annotations }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
