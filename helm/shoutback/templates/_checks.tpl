{{/* Validations that values.schema.json cannot express, or not with helpful messages. */}}
{{- define "shoutback.check" -}}
{{- $placeholders := regexFindAll "REPLACE_WITH_[A-Z0-9_]+" (toJson .Values) -1 | uniq | sortAlpha -}}
{{- if $placeholders -}}
{{- fail (printf "the values contain placeholders: %s. Fill them in the values file of the environment, or with --set." (join ", " $placeholders)) -}}
{{- end -}}

{{- $strict := has .Values.environment (list "staging" "production") -}}
{{- if not .Values.image.tag -}}
{{- fail "image.tag is empty: it must be the full SHA of the commit that the image was built from. The release pipeline sets it; by hand: --set image.tag=$(git rev-parse HEAD)" -}}
{{- end -}}
{{- if $strict -}}
{{- if not (regexMatch "^[0-9a-f]{40}$" .Values.image.tag) -}}
{{- fail (printf "image.tag is %q, but in %s it must be the full SHA of a commit, 40 hexadecimal digits, which identifies the running build" .Values.image.tag .Values.environment) -}}
{{- end -}}
{{- if not .Values.image.digest -}}
{{- fail (printf "image.digest is empty, but in %s the image must be named by its digest. The release pipeline sets it; by hand: --set image.digest=sha256:…, as the registry shows it for the tag" .Values.environment) -}}
{{- end -}}
{{- end -}}

{{- range $name := list "HTTP_ADDR" "ADMIN_ADDR" -}}
{{- if hasKey $.Values.config $name -}}
{{- fail (printf "config.%s is set by the chart: Services, probes and NetworkPolicy use its ports. Remove it." $name) -}}
{{- end -}}
{{- end -}}
{{- if hasKey .Values.config "LOG_FILE" -}}
{{- fail "config.LOG_FILE is set by the chart: the root file system is read-only. filebeat.enabled sets it, with a volume and a sidecar that reads it. Remove it." -}}
{{- end -}}
{{- range $name := list "OTEL_EXPORTER_OTLP_HEADERS" "OTEL_EXPORTER_OTLP_TRACES_HEADERS" -}}
{{- if hasKey $.Values.config $name -}}
{{- fail (printf "config.%s would put credentials into a ConfigMap. Put the variable into a Secret and its name into existingSecret." $name) -}}
{{- end -}}
{{- end -}}
{{- $own := include "shoutback.ownResourceAttributes" . | fromYaml -}}
{{- range $pair := splitList "," (include "shoutback.config" (list . "OTEL_RESOURCE_ATTRIBUTES")) -}}
{{- $name := first (splitList "=" $pair) | trim -}}
{{- if hasKey $own $name -}}
{{- fail (printf "config.OTEL_RESOURCE_ATTRIBUTES has %s, which the chart sets. Remove it there." $name) -}}
{{- end -}}
{{- end -}}
{{- if kindIs "bool" (get .Values.config "RATE_LIMIT_PER_CLIENT") -}}
{{- fail "config.RATE_LIMIT_PER_CLIENT: YAML parses off without quotes as false. Write \"off\"." -}}
{{- end -}}
{{- range $name := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/part-of" "app.kubernetes.io/version" -}}
{{- if hasKey $.Values.podLabels $name -}}
{{- fail (printf "podLabels has %s, which the chart sets. Remove it." $name) -}}
{{- end -}}
{{- end -}}

{{- $scaling := .Values.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d)" (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas)) -}}
{{- end -}}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.targetActiveRequests) -}}
{{- fail "autoscaling has no metric: set autoscaling.targetCPUUtilizationPercentage or autoscaling.targetActiveRequests" -}}
{{- end -}}
{{- end -}}

{{- $filebeat := .Values.filebeat -}}
{{- if $filebeat.enabled -}}
{{- if eq (empty $filebeat.caSecret.name) (empty $filebeat.caConfigMap.name) -}}
{{- fail "filebeat needs the certificates to trust: set either filebeat.caSecret.name or filebeat.caConfigMap.name, not both. Elasticsearch's operator stores them in the Secret CLUSTER-es-http-certs-public" -}}
{{- end -}}
{{- end -}}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false: set serviceAccount.name to the one to use" -}}
{{- end -}}
{{- end -}}
