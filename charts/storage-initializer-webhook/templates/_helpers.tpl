{{- define "storage-webhook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name, if it contains the chart's name or `storage-webhook`. */}}
{{- define "storage-webhook.fullname" -}}
{{- $name := include "storage-webhook.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if or (contains "storage-webhook" .Release.Name) (contains $name .Release.Name) -}}
{{- include "storage-webhook.serviceName" .Release.Name -}}
{{- else -}}
{{- include "storage-webhook.serviceName" (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- end -}}

{{/* A name for a Service (DNS-1035) from one of a release. 52 characters leave room for suffixes. */}}
{{- define "storage-webhook.serviceName" -}}
{{- $name := lower . | replace "." "-" | replace "_" "-" -}}
{{- regexMatch "^[a-z]" $name | ternary $name (printf "webhook-%s" $name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "storage-webhook.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* Names of cluster-scoped objects include the namespace, so that releases with the same name do not conflict. */}}
{{- define "storage-webhook.clusterName" -}}
{{- printf "%s.%s" (include "storage-webhook.fullname" .) (include "storage-webhook.namespace" .) -}}
{{- end -}}

{{- define "storage-webhook.selectorLabels" -}}
app.kubernetes.io/name: {{ include "storage-webhook.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The labels that the chart sets. */}}
{{- define "storage-webhook.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "storage-webhook.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Labels and annotations of an object: (dict "root" $ "labels" <its own> "annotations" <its own>) */}}
{{- define "storage-webhook.metadata" -}}
labels:
  {{- $labels := include "storage-webhook.labels" .root | fromYaml }}
  {{- merge $labels (.labels | default dict) .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "storage-webhook.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "storage-webhook.fullname" .) -}}
{{- end -}}

{{- define "storage-webhook.image" -}}
{{- with .Values.image -}}
{{- $repository := include "storage-webhook.withRegistry" (dict "root" $ "image" .repository) -}}
{{- if .digest -}}
{{- printf "%s@%s" $repository .digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* An image in the global registry, unless its name begins with a registry: (dict "root" $ "image" <its name>) */}}
{{- define "storage-webhook.withRegistry" -}}
{{- if and .root.Values.global.imageRegistry (not (regexMatch "^([^/]*[.:][^/]*|localhost)/" .image)) -}}
{{- printf "%s/%s" (trimSuffix "/" .root.Values.global.imageRegistry) .image -}}
{{- else -}}
{{- .image -}}
{{- end -}}
{{- end -}}

{{/* The field imagePullSecrets of a pod; may be empty. */}}
{{- define "storage-webhook.imagePullSecrets" -}}
{{- $secrets := .Values.imagePullSecrets -}}
{{- range .Values.global.imagePullSecrets -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with uniq $secrets -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Namespaces that are never served. System pods and the webhook itself must start while the webhook is down. */}}
{{- define "storage-webhook.excludedNamespaces" -}}
{{- concat (list "kube-system" (include "storage-webhook.namespace" .)) .Values.excludedNamespaces | uniq | toJson -}}
{{- end -}}

{{/* Namespace for the dry run of `helm test`; empty if no served namespace is known. */}}
{{- define "storage-webhook.testNamespace" -}}
{{- $namespace := .Values.test.namespace | default (first .Values.namespaces) | default "default" -}}
{{- if and .Values.test.enabled (not (has $namespace (include "storage-webhook.excludedNamespaces" . | fromJsonArray))) -}}
{{- $namespace -}}
{{- end -}}
{{- end -}}

{{/* The update strategy. With `hostNetwork` the new pod needs the port of an old one. */}}
{{- define "storage-webhook.strategy" -}}
{{- $type := .Values.strategy.type | default "RollingUpdate" -}}
type: {{ $type }}
{{- if eq $type "RollingUpdate" }}
{{- $given := .Values.strategy.rollingUpdate | default dict }}
rollingUpdate:
  maxSurge: {{ dig "maxSurge" (ternary 0 1 .Values.hostNetwork) $given }}
  maxUnavailable: {{ dig "maxUnavailable" (ternary 1 0 .Values.hostNetwork) $given }}
{{- end }}
{{- end -}}
