{{/*
Ingress and HTTPRoute wait this many seconds longer than REQUEST_TIMEOUT for a response, so that the
service reports the error.
*/}}
{{- define "shoutback.ingress.timeout" -}}
{{- add (include "shoutback.seconds" (include "shoutback.config" (list . "REQUEST_TIMEOUT"))) 5 -}}
{{- end }}

{{/*
Validations of the Ingress' values that the schema cannot express.
*/}}
{{- define "shoutback.ingress.check" -}}
{{- $idle := include "shoutback.config" (list . "IDLE_TIMEOUT") -}}
{{- with .Values.ingress -}}
{{- if not .host -}}
{{- fail "ingress.host is empty: name the host under which the API is called, such as api.example.com" -}}
{{- end -}}
{{- $tls := list -}}
{{- if .tls.certManager.issuer -}}{{- $tls = append $tls "tls.certManager.issuer" -}}{{- end -}}
{{- if .tls.secretName -}}{{- $tls = append $tls "tls.secretName" -}}{{- end -}}
{{- if .tls.acm -}}{{- $tls = append $tls "tls.acm" -}}{{- end -}}
{{- if not $tls -}}
{{- fail "ingress.tls is empty: set one of tls.certManager.issuer (cert-manager issues the certificate), tls.secretName (it is in a Secret), tls.acm (TLS ends at the load balancer)" -}}
{{- end -}}
{{- if gt (len $tls) 1 -}}
{{- fail (printf "ingress.%s exclude each other: set only one" (join " and ingress." $tls)) -}}
{{- end -}}
{{- if and .tls.certManager.http01 (not .tls.certManager.issuer) -}}
{{- fail "ingress.tls.certManager.http01 requires ingress.tls.certManager.issuer: set that, too, or neither" -}}
{{- end -}}
{{- /* NGINX closes idle connections to a replica after 60 s, which no annotation changes. */ -}}
{{- if and (gt (int .keepalive) 0) (le (include "shoutback.seconds" $idle | int) 60) -}}
{{- fail (printf "config.IDLE_TIMEOUT is %s: a replica would close connections that NGINX, which reuses them for 60 s, is about to use. Make it longer than 60s, or set ingress.keepalive to 0" $idle) -}}
{{- end -}}
{{- range $name, $_ := .annotations -}}
{{- if hasPrefix "nginx.org/" $name -}}
{{- fail (printf "ingress.annotations may not have %s: the other values determine NGINX's configuration" $name) -}}
{{- end -}}
{{- if has $name (list "cert-manager.io/cluster-issuer" "cert-manager.io/issuer") -}}
{{- fail (printf "ingress.annotations may not have %s: set ingress.tls.certManager.issuer" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The Ingress' annotations. docs/ingress.md describes each.
*/}}
{{- define "shoutback.ingress.annotations" -}}
{{- $bytes := include "shoutback.bytes" (include "shoutback.config" (list . "MAX_BODY_BYTES")) | int64 -}}
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
{{- if .tls.acm }}
nginx.org/redirect-to-https: "true"
nginx.org/hsts-behind-proxy: "true"
{{- else }}
nginx.org/ssl-redirect: "true"
{{- end }}
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
