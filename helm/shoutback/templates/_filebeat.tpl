{{- define "shoutback.filebeat" -}}
{{- $filebeat := .Values.filebeat -}}
# A native sidecar: it starts before the service and is stopped after it.
- name: filebeat
  image: {{ include "shoutback.image" (list . $filebeat.image) | quote }}
  imagePullPolicy: {{ $filebeat.image.pullPolicy }}
  restartPolicy: Always
  command: [bash, -c]
  args:
    - |
      {{- .Files.Get "files/filebeat.sh" | nindent 6 }}
  # The image's own user. Its files belong to group 0, which gives no other permissions here.
  securityContext:
    runAsUser: 1000
    runAsGroup: 0
    {{- include "shoutback.containerSecurityContext" . | nindent 4 }}
  env:
    {{- include "shoutback.podEnv" . | nindent 4 }}
    - name: LINGER
      value: {{ include "shoutback.filebeat.linger" . | quote }}
    # Its own metrics are only for `kubectl port-forward`, not for a probe.
    - name: PROBE_HOST
      value: 127.0.0.1
    - name: ELASTICSEARCH_HOSTS
      value: {{ join "," $filebeat.hosts | quote }}
    - name: ELASTICSEARCH_API_KEY
      valueFrom:
        secretKeyRef:
          name: {{ $filebeat.apiKeySecret.name }}
          key: {{ $filebeat.apiKeySecret.key }}
          # Without it Filebeat fails and is started again, but not the replica.
          optional: true
    - name: ELASTICSEARCH_CA_FILE
      value: /etc/shoutback-elasticsearch/ca.crt
    - name: DATA_STREAM_NAMESPACE
      value: {{ .Values.environment }}
    - name: FILEBEAT_LOG_LEVEL
      value: {{ $filebeat.logLevel }}
  resources:
    {{- toYaml $filebeat.resources | nindent 4 }}
  volumeMounts:
    - name: log
      mountPath: /var/log/shoutback
      readOnly: true
    - name: filebeat-registry
      mountPath: /usr/share/filebeat/data
    - name: filebeat-config
      mountPath: /etc/shoutback-filebeat
      readOnly: true
    - name: elasticsearch-ca
      mountPath: /etc/shoutback-elasticsearch
      readOnly: true
{{- end -}}

{{- define "shoutback.filebeat.volumes" -}}
{{- $filebeat := .Values.filebeat -}}
- name: log
  emptyDir:
    sizeLimit: {{ include "shoutback.logVolumeBytes" . | quote }}
- name: filebeat-registry
  emptyDir:
    sizeLimit: 16Mi
- name: filebeat-config
  configMap:
    name: {{ include "shoutback.fullname" . }}-filebeat
- name: elasticsearch-ca
  {{- if $filebeat.caSecret.name }}
  secret:
    secretName: {{ $filebeat.caSecret.name }}
    optional: true
    items:
      - key: {{ $filebeat.caSecret.key }}
        path: ca.crt
  {{- else }}
  configMap:
    name: {{ $filebeat.caConfigMap.name }}
    optional: true
    items:
      - key: {{ $filebeat.caConfigMap.key }}
        path: ca.crt
  {{- end }}
{{- end -}}
