{{- define "collector.selector" -}}
app.kubernetes.io/name: otel-collector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "collector.labels" -}}
{{ include "collector.selector" . }}
app.kubernetes.io/version: {{ regexFind "^[0-9.]+" .Values.image.tag | quote }}
app.kubernetes.io/part-of: monitoring
{{- end }}

{{/* Later files are merged over earlier ones. */}}
{{- define "collector.files" -}}
{{- concat (list "config.yaml" "aws.yaml") (ternary (list "otlp.yaml") list (ne .Values.backend.endpoint "")) | toJson -}}
{{- end }}
