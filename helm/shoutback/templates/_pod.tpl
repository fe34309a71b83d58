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
Ephemeral storage unless set by the values: the container's output, of which kubelet stores 50 MiB by default, and the
log files. Without it the default of the namespace applies, by which pods could be evicted.
*/}}
{{- define "shoutback.resources" -}}
{{- $log := 0 -}}
{{- if .Values.filebeat.enabled -}}
{{- $log = div (add (include "shoutback.logVolumeBytes" .) 1048575) 1048576 -}}
{{- end -}}
{{- $storage := dict "requests" (dict "ephemeral-storage" (printf "%dMi" (add 64 $log))) "limits" (dict "ephemeral-storage" (printf "%dMi" (add 128 $log))) -}}
{{- toYaml (mergeOverwrite $storage (deepCopy .Values.resources)) -}}
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
