{{/*
Sets .Variables, which all templates of a rendering share, to the service's variables, {NAME: {default, accepts, pattern}}, from the table in
files/configuration.md.
*/}}
{{- define "shoutback.readVariables" -}}
{{- if not (hasKey . "Variables") -}}
{{- $variables := dict -}}
{{- $patterns := include "shoutback.patterns" . | fromJson -}}
{{- range .Files.Lines "files/configuration.md" -}}
{{- if regexMatch "^\\| `[A-Z0-9_]+` \\| .* Accepts " . -}}
{{- $cells := splitList " | " (trimAll "| " .) -}}
{{- $default := regexReplaceAll "^(unset|required|[A-Z0-9_]+_[A-Z0-9_]+)$" (trimAll "`*" (index $cells 1)) "" -}}
{{- $name := trimAll "`" (first $cells) -}}
{{- $_ := set $variables $name (dict "default" $default "accepts" (regexReplaceAll "^.* Accepts (.*)\\.$" (last $cells) "$1") "pattern" (get $patterns $name)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set . "Variables" $variables -}}
{{- end -}}
{{- end -}}

{{/* The text of a variable, of any type in YAML, in which numbers are floats: (include "shoutback.text" 1000000) is 1000000. */}}
{{- define "shoutback.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* The effective value of a variable: (include "shoutback.config" (list $ "REQUEST_TIMEOUT")). */}}
{{- define "shoutback.config" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if hasKey $root.Values.config $name -}}
{{- include "shoutback.text" (index $root.Values.config $name) | trim -}}
{{- else -}}
{{- include "shoutback.readVariables" $root -}}
{{- get (get $root.Variables $name) "default" -}}
{{- end -}}
{{- end -}}

{{/* A variable as a number: a duration in milliseconds, a size in bytes, a ratio of one. (include … | float64) */}}
{{- define "shoutback.number" -}}
{{- $units := dict "" 1 "B" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "%" 0.01 -}}
{{- mulf (regexFind "[0-9.]+" . | float64) (get $units (regexFind "[A-Za-z%]*$" .)) | printf "%f" -}}
{{- end -}}

{{- define "shoutback.configNumber" -}}
{{- include "shoutback.number" (include "shoutback.config" .) -}}
{{- end -}}

{{/* Of a duration, rounded up. (include "shoutback.seconds" (list $ "REQUEST_TIMEOUT")) */}}
{{- define "shoutback.seconds" -}}
{{- divf (include "shoutback.configNumber" . | float64) 1000 | ceil | int64 -}}
{{- end -}}

{{- define "shoutback.bytes" -}}
{{- include "shoutback.configNumber" . | float64 | int64 -}}
{{- end -}}

{{/* A quantity of Kubernetes: (include "shoutback.quantity" "1Gi" | float64) is 1073741824. */}}
{{- define "shoutback.quantity" -}}
{{- $text := include "shoutback.text" . -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[A-Za-z]*$" $text)) | printf "%f" -}}
{{- end -}}

{{/*
Regular expressions of values, for those whose range or choice docs/configuration.md does not state, and of the items of lists. The
service validates the same; a test compares both.
*/}}
{{- define "shoutback.patterns" -}}
{{- $host := "(\\[[0-9A-Fa-f:.]+\\]|((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])|([A-Za-z0-9_-]+\\.)*[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*\\.?)" -}}
{{- $number := "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})" -}}
{{- $port := printf "(:%s)?" $number -}}
{{- $loopback := printf "http://(localhost|127(\\.[0-9]{1,3}){3}|\\[::1\\])%s" $port -}}
{{- $region := "(af|ap|ca|cn|eu|eu-isoe|eusc-de|il|me|mx|sa|us|us-gov|us-iso|us-isob|us-isof)-[a-z]+-[0-9]+" -}}
{{- $level := "(?i:off|error|warn|info|debug|trace|[0-5])" -}}
{{- $client := "[\\w+-]{1,128}" -}}
{{- $issuer := printf "(https://%s%s|%s)(/[^\\s?#]*)?" $host $port $loopback -}}
{{- $url := printf "https?://%s%s([/?][^\\s#]*)?" $host $port -}}
{{- toJson (dict
  "COGNITO_USER_POOL_IDS" "[a-z0-9-]+_[0-9A-Za-z]+"
  "COGNITO_CLIENT_IDS" $client "DOCS_CLIENT_ID" $client
  "COGNITO_ADDITIONAL_REGIONS" $region
  "COGNITO_ENDPOINT" $issuer "COGNITO_JWKS_ENDPOINT" $issuer
  "AUTH_REQUIRED_SCOPES" "[!#-\\[\\]-~]+"
  "AUTH_ALLOWED_GROUPS" ".{1,128}"
  "AUTH_AUDIENCES" "\\S{1,256}"
  "VALKEY_URL" (printf "rediss?://([^:@/?#\\s]+@)?%s%s(/%s?)?" $host $port $number) "VALKEY_PASSWORD_FILE" "(?s:/.*[^/.])"
  "SHOUTCLOUD_URL" $url "OTEL_EXPORTER_OTLP_ENDPOINT" $url "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" $url
  "DOCS_COGNITO_DOMAIN" (printf "[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\\.([a-z0-9]([a-z0-9-]*[a-z0-9])?)?[a-z]([a-z0-9-]*[a-z0-9])?|%s" $loopback)
  "OTEL_SERVICE_NAME" "[\\pL\\pN ._/:-]{1,255}"
  "OTEL_PROPAGATORS" "none|(tracecontext|baggage|xray)( *, *(tracecontext|baggage|xray))*"
  "OTEL_RESOURCE_ATTRIBUTES" "( *([!#$&'*+./0-9:A-Z^_`a-z|~-]|%[0-9A-Fa-f]{2})+ *=([^,%]|%[0-9A-Fa-f]{2})* *(,|$))+"
  "RUST_LOG" (printf "%[1]s|shoutback[\\w:]*|[\\w:]+=%[1]s|[\\w:]*\\[[^\\]]*\\](=%[1]s)?" $level)
) -}}
{{- end -}}

{{/* What the service would reject of a variable, as a sentence, or nothing: (include "shoutback.config.problem" (list $ "REQUEST_TIMEOUT")). */}}
{{- define "shoutback.config.problem" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $text := include "shoutback.config" . -}}
{{- $variable := get $root.Variables $name -}}
{{- if not $variable -}}
config.{{ $name }} is no variable of the service: docs/configuration.md has them all
{{- else if not (and (hasPrefix "OTEL_" $name) (not $text)) -}}
{{- $accepts := $variable.accepts -}}
{{- $pattern := $variable.pattern -}}
{{- $valid := true -}}
{{- if contains "a comma-separated list of" $accepts | and (contains "without duplicates" $accepts) -}}
{{- $items := list -}}
{{- range splitList "," $text -}}
{{- $valid = and $valid (regexMatch (printf "^(%s)$" $pattern) (trim .)) (ne (lower (trim .)) "none") (not (has (trim .) $items)) (or (le (len (trim .)) 55) (ne $name "COGNITO_USER_POOL_IDS")) -}}
{{- $items = append $items (trim .) -}}
{{- end -}}
{{- $valid = ternary (hasSuffix ", or empty" $accepts) $valid (not $text) -}}
{{- else if eq $name "RUST_LOG" -}}
{{- range splitList "," $text -}}{{- $valid = and $valid (ne $text "") (regexMatch (printf "^(%s)?$" $pattern) .) -}}{{- end -}}
{{- else if $pattern -}}
{{- $valid = and (regexMatch (printf "^(%s)$" $pattern) $text) (or (hasPrefix "OTEL_" $name) (ne (lower $text) "none")) -}}
{{- else if hasPrefix "one of " $accepts -}}
{{- $valid = has $text (splitList ", " (trimPrefix "one of " $accepts)) -}}
{{- else -}}
{{- $kinds := dict "duration" "[0-9]+ *(ms|s|m|h|d)" "size" "[0-9]+ *(B|KiB|MiB|GiB)?" "ratio" "([0-9]+\\.?[0-9]*|\\.[0-9]+) *%?" "rate" "[0-9]+ */ *[smh]|off" "whole" "[0-9]+" "number of" "[0-9]+" "number from" "\\+?[0-9]*\\.?[0-9]+" -}}
{{- $kind := regexFind "duration|size|ratio|rate|whole|number (of|from)" $accepts -}}
{{- $bounds := splitList " to " (trimPrefix "from " (regexFind "from [^ ]+ to [^ ,]+" $accepts)) -}}
{{- $valid = regexMatch (printf "^(%s)$" (get $kinds $kind)) $text -}}
{{- if and $valid (ne $text "off") -}}
{{- $number := include "shoutback.number" (regexReplaceAll " */.*" $text "") | float64 -}}
{{- $least := include "shoutback.number" (regexReplaceAll "/.*" (first $bounds) "") | float64 -}}
{{- $valid = and (ge $number $least) (le $number (include "shoutback.number" (regexReplaceAll "/.*" (last $bounds) "") | float64)) -}}
{{- end -}}
{{- end -}}
{{- if not $valid -}}
config.{{ $name }} must be {{ $accepts }}
{{- if not (contains "URL" $accepts) }}, but is {{ $text | trunc 100 | quote }}{{- end -}}
{{- if eq (lower $text) "none" }}: leave it out for none{{- end -}}
{{- if and (eq $text "false") (hasSuffix "or off" $accepts) }}: YAML reads off without quotes as false, so write "off"{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
