{{/* The identity of the pod for telemetry. */}}
{{- define "shoutback.podEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end -}}

{{/*
The memory that a replica may need, in MiB: the process, the cache, and all that the limits of the configuration admit at once. A connection
takes 8 KiB; a request that waits 32 KiB and three times its body; a call to SHOUTCLOUD another 64 KiB and twenty times the body, because
each character may be escaped in the request and in the response. A test measures it.
*/}}
{{- define "shoutback.memoryMi" -}}
{{- $body := include "shoutback.bytes" (list . "MAX_BODY_BYTES") | int64 -}}
{{- $connections := mul (include "shoutback.configNumber" (list . "MAX_CONNECTIONS") | float64 | int64) 8192 -}}
{{- $requests := mul (include "shoutback.configNumber" (list . "MAX_REQUESTS_IN_FLIGHT") | float64 | int64) (add 32768 (mul 3 $body)) -}}
{{- $calls := mul (include "shoutback.configNumber" (list . "SHOUTCLOUD_MAX_CONCURRENCY") | float64 | int64) (add 65536 (mul 20 $body)) -}}
{{- add 65 (div (add (include "shoutback.bytes" (list . "CACHE_CAPACITY")) $connections $requests $calls) 1048576) -}}
{{- end -}}

{{/*
The memory limit is computed unless set by the values, and so is ephemeral storage: the container's output, of which kubelet stores 50 MiB by
default, and the log files. Without it the default of the namespace applies, by which pods could be evicted.
*/}}
{{- define "shoutback.resources" -}}
{{- $log := 0 -}}
{{- if .Values.filebeat.enabled -}}
{{- $log = div (add (include "shoutback.logVolumeBytes" .) 1048575) 1048576 -}}
{{- end -}}
{{- $request := divf (include "shoutback.quantity" .Values.resources.requests.memory | float64) 1048576 | ceil | int64 -}}
{{- $limits := dict "memory" (printf "%dMi" (max $request (include "shoutback.memoryMi" .))) "ephemeral-storage" (printf "%dMi" (add 128 $log)) -}}
{{- $computed := dict "requests" (dict "ephemeral-storage" (printf "%dMi" (add 64 $log))) "limits" $limits -}}
{{- toYaml (mergeOverwrite $computed (deepCopy .Values.resources)) -}}
{{- end -}}

{{/* A peer of a NetworkPolicy: pods of one namespace. Without labels, all of its pods. */}}
{{- define "shoutback.peer" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .namespace }}
  {{- with .podSelector }}
  podSelector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}
