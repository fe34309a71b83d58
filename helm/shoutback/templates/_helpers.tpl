{{/* At most 40 characters, so that a Service's name with a suffix stays within 63. */}}
{{- define "shoutback.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Labels that never change during a release's lifetime. The name is always the chart's: rules, dashboards and the collector select
by it, independent of the names of the objects.
*/}}
{{- define "shoutback.instanceLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Selects the replicas, and no other pod of the release. */}}
{{- define "shoutback.selectorLabels" -}}
{{ include "shoutback.instanceLabels" . }}
app.kubernetes.io/component: api
{{- end -}}

{{/* Not of pods, which a new version of the chart would restart. (list $ "component") */}}
{{- define "shoutback.labels" -}}
{{- $root := index . 0 -}}
{{ include "shoutback.instanceLabels" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: {{ $root.Chart.Name }}
app.kubernetes.io/version: {{ include "shoutback.version" $root }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Of every object except pods: its name with a suffix, its namespace, and its labels, to which templates add. (list $ "component" "-suffix") */}}
{{- define "shoutback.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "shoutback.fullname" $root }}{{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "shoutback.labels" . | nindent 2 }}
{{- end -}}

{{- define "shoutback.version" -}}
{{- .Values.image.tag | trunc 63 | trimAll "-_." | quote -}}
{{- end -}}

{{- define "shoutback.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "shoutback.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/*
A reference repository:tag@digest: the digest identifies the image, the tag is informational. (list $ $image) Images of others may come
through a registry that caches them, under their full names.
*/}}
{{- define "shoutback.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if and $root.Values.imageRegistry (ne $image.repository $root.Values.image.repository) -}}{{ $root.Values.imageRegistry }}/{{- end -}}
{{- printf "%s:%s" $image.repository $image.tag -}}{{- with $image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{/* Whether `helm test` has something to run: it needs a token, unless none is required. */}}
{{- define "shoutback.tested" -}}
{{- if or (eq "disabled" (include "shoutback.config" (list . "AUTH_MODE"))) .Values.tests.tokenSecret.name .Values.tests.credentialsSecret.name -}}true{{- end -}}
{{- end -}}

{{/* Of every container: the requirements of Pod Security's profile "restricted", and a read-only root file system. */}}
{{- define "shoutback.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The user is that of the image. */}}
{{- define "shoutback.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Whether traces are sent to a collector. */}}
{{- define "shoutback.traces" -}}
{{- if or (include "shoutback.config" (list . "OTEL_EXPORTER_OTLP_ENDPOINT")) (include "shoutback.config" (list . "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) -}}
true
{{- end -}}
{{- end -}}

{{/*
Filebeat reads an idle file at least every 5 s (backoff.max), so it gets the signal to stop only 6 s after the
service has ended; then it has 5 s to send the rest (filebeat.shutdown_timeout).
*/}}
{{- define "shoutback.filebeat.linger" -}}6{{- end -}}
{{- define "shoutback.filebeat.stop" -}}5{{- end -}}

{{/* In addition to the service's two there are 5 s to flush telemetry (3 s) and to end the process. */}}
{{- define "shoutback.neededGrace" -}}
{{- $needed := add (include "shoutback.seconds" (list . "SHUTDOWN_GRACE")) (include "shoutback.seconds" (list . "SHUTDOWN_TIMEOUT")) 5 -}}
{{- if .Values.filebeat.enabled -}}
{{- $needed = add $needed (include "shoutback.filebeat.linger" .) (include "shoutback.filebeat.stop" .) -}}
{{- end -}}
{{- $needed -}}
{{- end -}}

{{/* Size of the volume for log files: the service limits them to LOG_FILE_MAX_BYTES; a sixteenth more for directories. */}}
{{- define "shoutback.logVolumeBytes" -}}
{{- $most := include "shoutback.bytes" (list . "LOG_FILE_MAX_BYTES") | int64 -}}
{{- add $most (div $most 16) 1048576 -}}
{{- end -}}

{{/* The data of the ConfigMap: a change of its checksum restarts the pods, unlike a change of the chart's labels. */}}
{{- define "shoutback.configData" -}}
{{- $data := dict "HTTP_ADDR" "0.0.0.0:5000" "ADMIN_ADDR" "0.0.0.0:9090" -}}
{{- range $name, $value := omit .Values.config "OTEL_RESOURCE_ATTRIBUTES" -}}
{{- $_ := set $data $name (include "shoutback.text" $value) -}}
{{- end -}}
{{- if .Values.filebeat.enabled -}}
{{- $_ := set $data "LOG_FILE" "/var/log/shoutback/shoutback.log" -}}
{{- end -}}
{{- if .Values.valkey.passwordSecret.name -}}
{{- $_ := set $data "VALKEY_PASSWORD_FILE" "/etc/shoutback-valkey/password" -}}
{{- end -}}
{{- toYaml $data -}}
{{- end -}}

{{/*
OTEL_RESOURCE_ATTRIBUTES: those of the values, and the identity of the pod. Pairs of the values may contain a
dollar sign, which Kubernetes would expand as a reference.
*/}}
{{- define "shoutback.resourceAttributes" -}}
{{- $given := include "shoutback.config" (list . "OTEL_RESOURCE_ATTRIBUTES") | trimAll ", " | replace "$" "$$" -}}
{{- $own := list -}}
{{- range $name, $value := include "shoutback.ownResourceAttributes" . | fromYaml -}}
{{- $own = append $own (printf "%s=%s" $name $value) -}}
{{- end -}}
{{- join "," (concat (list $given | compact) $own) -}}
{{- end -}}

{{- define "shoutback.ownResourceAttributes" -}}
deployment.environment.name: {{ .Values.environment }}
k8s.namespace.name: $(POD_NAMESPACE)
k8s.node.name: $(NODE_NAME)
k8s.pod.name: $(POD_NAME)
service.instance.id: $(POD_NAME)
{{- end -}}
