{{/*
An Application. Argument: a dict with root, name, namespace, wave, and either `path` in this repository or `chart` (repository, name,
version); `values` are files of this repository, `parameters` a dict of values of the cluster, `kustomize` if the path is not a chart.
*/}}
{{- define "applications.application" -}}
{{- $root := .root -}}
{{- $revision := required "image.tag: the commit that everything is of" $root.Values.image.tag -}}
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  annotations:
    argocd.argoproj.io/sync-wave: {{ .wave | quote }}
  # Its deletion deletes its objects, too.
  finalizers: [resources-finalizer.argocd.argoproj.io/foreground]
spec:
  project: platform
  sources:
    {{- if .chart }}
    - repoURL: {{ .chart.repository }}
      chart: {{ .chart.name }}
      targetRevision: {{ .chart.version }}
    {{- else }}
    - repoURL: {{ $root.Values.repository }}
      targetRevision: {{ $revision | quote }}
      path: {{ .path }}
    {{- end }}
      {{- if not .kustomize }}
      helm:
        releaseName: {{ .name }}
        {{- with .values }}
        valueFiles:
          {{- range . }}
          - $repository/{{ . }}
          {{- end }}
        {{- end }}
        {{- with .parameters }}
        parameters:
          {{- range $name, $value := . }}
          - name: {{ $name }}
            value: {{ $value | quote }}
          {{- end }}
        {{- end }}
      {{- end }}
    {{- if .values }}
    - repoURL: {{ $root.Values.repository }}
      targetRevision: {{ $revision | quote }}
      ref: repository
    {{- end }}
  destination:
    server: https://kubernetes.default.svc
    namespace: {{ .namespace }}
  {{- include "applications.sync" (list "CreateNamespace=true" "ServerSideApply=true") | nindent 2 }}
{{- end }}

{{- define "applications.sync" -}}
syncPolicy:
  automated:
    prune: true
    selfHeal: true
  syncOptions:
    {{- range . }}
    - {{ . }}
    {{- end }}
  # Definitions and webhooks of a wave take a moment to become available.
  retry:
    # Retries with a newer commit, if there is one, such as a revert.
    refresh: true
    limit: 10
    backoff: { duration: 10s, factor: 2, maxDuration: 3m }
{{- end }}
