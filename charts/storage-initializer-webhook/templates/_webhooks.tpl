{{/* Name of the mutating and the validating configuration. */}}
{{- define "storage-webhook.configurationName" -}}
{{- .Values.webhook.configurationName | default (printf "00-%s" (include "storage-webhook.clusterName" .)) -}}
{{- end -}}

{{/* Labels and annotations of both configurations. */}}
{{- define "storage-webhook.configurationMetadata" -}}
{{- $annotations := merge (dict) .Values.webhook.annotations (include "storage-webhook.caAnnotations" . | fromYaml) -}}
name: {{ include "storage-webhook.configurationName" . | quote }}
{{ include "storage-webhook.metadata" (dict "root" . "annotations" $annotations) }}
{{- end -}}

{{/* What happens to a request while the webhook is unavailable. A webhook that only observes must not block pods. */}}
{{- define "storage-webhook.failurePolicy" -}}
{{- .Values.webhook.failurePolicy | default (ternary "Ignore" "Fail" (eq (include "storage-webhook.mode" .) "observe")) -}}
{{- end -}}

{{/* Common fields of all webhooks: (dict "root" $ "path" "/…" "failurePolicy" …). */}}
{{- define "storage-webhook.clientConfig" -}}
clientConfig:
  service:
    name: {{ include "storage-webhook.fullname" .root | quote }}
    namespace: {{ include "storage-webhook.namespace" .root | quote }}
    path: {{ .path }}
    port: {{ .root.Values.service.port }}
  {{- with include "storage-webhook.caBundle" .root }}
  caBundle: {{ . }}
  {{- end }}
admissionReviewVersions: [v1]
# Dry-run requests create no Events.
sideEffects: {{ .sideEffects | default (ternary "NoneOnDryRun" "None" .root.Values.events) }}
failurePolicy: {{ .failurePolicy | default (include "storage-webhook.failurePolicy" .root) }}
timeoutSeconds: {{ .root.Values.webhook.timeoutSeconds }}
matchPolicy: {{ .root.Values.webhook.matchPolicy }}
{{- end -}}

{{/*
Selectors for namespaces and objects: (dict "root" $ "objects" <more matchExpressions>). They include the opt-out label,
so that opting out works while the webhook is down.
*/}}
{{- define "storage-webhook.selectors" -}}
{{ include "storage-webhook.namespaceSelector" .root }}
objectSelector:
  matchExpressions:
    - key: storage.kserve.io/inject
      operator: NotIn
      values: [disabled]
    {{- with .objects }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "storage-webhook.namespaceSelector" -}}
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
{{- end -}}

{{/*
CEL: whether a pod requests a model. It has one of our annotations, or it is a KServe pod with a source or with an init
container that another webhook injected (we still set that container's user ID and its order relative to Istio's).
The argument is the path of the pod in the request: `object`, or `object.spec.template`.
*/}}
{{- define "storage-webhook.podRequestsModel" -}}
(has({{ . }}.metadata.annotations) &&
  ('storage.kserve.io/uri' in {{ . }}.metadata.annotations ||
   'storage.kserve.io/uris' in {{ . }}.metadata.annotations)) ||
(has({{ . }}.metadata.labels) && 'serving.kserve.io/inferenceservice' in {{ . }}.metadata.labels &&
  ((has({{ . }}.metadata.annotations) &&
    'internal.serving.kserve.io/storage-initializer-sourceuri' in {{ . }}.metadata.annotations) ||
   (has({{ . }}.spec.initContainers) &&
    {{ . }}.spec.initContainers.exists(c, c.name == 'storage-initializer'))))
{{- end -}}

{{/*
CEL: whether a workload has one of our annotations or KServe's label, in its pod template or on the object itself, which
is the wrong place.
*/}}
{{- define "storage-webhook.workloadIsAboutModels" -}}
(request.kind.kind == 'CronJob' ?
  [object, object.spec.jobTemplate, object.spec.jobTemplate.spec.template] :
  [object, object.spec.template]).exists(each, has(each.metadata) &&
  ((has(each.metadata.annotations) && each.metadata.annotations.exists(key, key.startsWith('storage.kserve.io/'))) ||
   (has(each.metadata.labels) && 'serving.kserve.io/inferenceservice' in each.metadata.labels)))
{{- end -}}
