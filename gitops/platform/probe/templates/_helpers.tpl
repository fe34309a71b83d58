{{- define "probe.config" -}}
{{ .Files.Get "files/blackbox.yml" | replace "PROBE_CLIENT_ID" .Values.clientId | replace "PROBE_TOKEN_URL" .Values.tokenUrl }}
{{- end }}
