{{/* What every webhook of a configuration shares: (dict "root" $ "path" "/…"). */}}
{{- define "storage-webhook.clientConfig" -}}
clientConfig:
  service:
    name: {{ include "storage-webhook.fullname" .root | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
    path: {{ .path }}
    port: {{ .root.Values.service.port }}
  {{- with include "storage-webhook.caBundle" .root }}
  caBundle: {{ . }}
  {{- end }}
admissionReviewVersions: [v1]
sideEffects: None
failurePolicy: {{ .root.Values.webhook.failurePolicy }}
timeoutSeconds: {{ .root.Values.webhook.timeoutSeconds }}
matchPolicy: {{ .root.Values.webhook.matchPolicy }}
{{- end -}}

{{/* The namespaces that are served. A namespace or pod that opts out does so here, so it works while the webhook is down. */}}
{{- define "storage-webhook.selectors" -}}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ include "storage-webhook.excludedNamespaces" . }}
    {{- with .Values.namespaces }}
    - key: kubernetes.io/metadata.name
      operator: In
      values: {{ toJson . }}
    {{- end }}
    - key: storage.kserve.io/inject
      operator: NotIn
      values: [disabled]
    {{- with .Values.webhook.namespaceSelector }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
objectSelector:
  matchExpressions:
    - key: storage.kserve.io/inject
      operator: NotIn
      values: [disabled]
    {{- with .Values.webhook.objectSelector }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
A pod asks by our annotations; or it is one of KServe's and has a source, or an init container that someone else injected
(its user id and its place among Istio's containers are still ours to set).
*/}}
{{- define "storage-webhook.podAsks" -}}
(has(object.metadata.annotations) &&
  ('storage.kserve.io/uri' in object.metadata.annotations ||
   'storage.kserve.io/uris' in object.metadata.annotations)) ||
(has(object.metadata.labels) && 'serving.kserve.io/inferenceservice' in object.metadata.labels &&
  ((has(object.metadata.annotations) &&
    'internal.serving.kserve.io/storage-initializer-sourceuri' in object.metadata.annotations) ||
   (has(object.spec.initContainers) &&
    object.spec.initContainers.exists(c, c.name == 'storage-initializer'))))
{{- end -}}
