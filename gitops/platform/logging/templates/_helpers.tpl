{{- define "logging.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: logging
{{- end }}

{{/* A container that runs FOLDER/load. Argument: a list of the root, the folder, and the lines of its environment. */}}
{{- define "logging.load" -}}
{{- $root := index . 0 }}{{ $folder := index . 1 -}}
- name: {{ $folder }}
  image: "{{ $root.Values.loader.image.repository }}:{{ $root.Values.loader.image.tag }}"
  command: [sh, /load/load]
  env:
    {{- range $name, $value := index . 2 }}
    - name: {{ $name }}
      value: {{ $value }}
    {{- end }}
    - name: ELASTICSEARCH_CA_FILE
      value: /ca/ca.crt
    - name: ELASTICSEARCH_USERNAME
      value: elastic
    - name: ELASTICSEARCH_PASSWORD
      valueFrom:
        secretKeyRef:
          name: shoutback-es-elastic-user
          key: elastic
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  resources:
    requests:
      cpu: 10m
      memory: 32Mi
    limits:
      memory: 64Mi
  volumeMounts:
    - name: {{ $folder }}
      mountPath: /load
      readOnly: true
    - name: {{ $folder }}-ca
      mountPath: /ca
      readOnly: true
{{- end }}
