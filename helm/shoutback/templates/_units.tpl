{{/* Defaults of the variables with which the chart computes: the same as in docs/configuration.md. */}}
{{- define "shoutback.defaults" -}}
AUTH_MODE: cognito
AUTH_REQUIRED_SCOPES: shoutback/shout
LOG_FILE_MAX_BYTES: 64MiB
MAX_BODY_BYTES: 64KiB
IDLE_TIMEOUT: 75s
REQUEST_TIMEOUT: 30s
SHUTDOWN_GRACE: 5s
SHUTDOWN_TIMEOUT: 25s
OTEL_RESOURCE_ATTRIBUTES: ""
OTEL_EXPORTER_OTLP_ENDPOINT: ""
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ""
{{- end -}}

{{/* The text of a variable, of any type in YAML, in which numbers are floats: (include "shoutback.text" 1000000) is 1000000. */}}
{{- define "shoutback.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* The effective value of a variable: (include "shoutback.config" (list $ "REQUEST_TIMEOUT")). */}}
{{- define "shoutback.config" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $defaults := include "shoutback.defaults" $root | fromYaml -}}
{{- if hasKey $root.Values.config $name -}}
{{- include "shoutback.text" (index $root.Values.config $name) | trim -}}
{{- else if hasKey $defaults $name -}}
{{- index $defaults $name -}}
{{- else -}}
{{- fail (printf "templates/_units.tpl: shoutback.defaults has no %s" $name) -}}
{{- end -}}
{{- end -}}

{{/* The seconds of a duration in the service's format, rounded up: (include "shoutback.seconds" "1500ms") is 2. */}}
{{- define "shoutback.seconds" -}}
{{- $text := . | toString | trim -}}
{{- if not (regexMatch "^[0-9]+ *(ms|s|m|h|d)$" $text) -}}
{{- fail (printf "%q is not a duration: write it as 500ms, 2s, 10m, 1h or 7d" $text) -}}
{{- end -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- if eq $unit "ms" -}}
{{- div (add $number 999) 1000 -}}
{{- else -}}
{{- mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) -}}
{{- end -}}
{{- end -}}

{{/* The bytes of a size in the service's format: (include "shoutback.bytes" "64KiB") is 65536. */}}
{{- define "shoutback.bytes" -}}
{{- $text := . | toString | trim -}}
{{- if not (regexMatch "^[0-9]+ *(B|KiB|MiB|GiB)?$" $text) -}}
{{- fail (printf "%q is not a size: write it as 512B, 64KiB, 32MiB or 1GiB" $text) -}}
{{- end -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- mul (regexFind "^[0-9]+" $text | int64) (get (dict "" 1 "B" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824) $unit) -}}
{{- end -}}
