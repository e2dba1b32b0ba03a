{{- define "storage-webhook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name, if it contains the chart's name or `storage-webhook`. 52 characters leave room for suffixes. */}}
{{- define "storage-webhook.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if or (contains "storage-webhook" .Release.Name) (contains (include "storage-webhook.name" .) .Release.Name) -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "storage-webhook.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Names of cluster-scoped objects include the namespace, so that releases with the same name do not conflict. */}}
{{- define "storage-webhook.clusterName" -}}
{{- printf "%s.%s" (include "storage-webhook.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "storage-webhook.selectorLabels" -}}
app.kubernetes.io/name: {{ include "storage-webhook.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "storage-webhook.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "storage-webhook.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of an object: (dict "root" $ "annotations" <its own>) */}}
{{- define "storage-webhook.metadata" -}}
labels:
  {{- include "storage-webhook.labels" .root | nindent 2 }}
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
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Namespaces that are never served. System pods and the webhook itself must start while the webhook is down. */}}
{{- define "storage-webhook.excludedNamespaces" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.excludedNamespaces | uniq | toJson -}}
{{- end -}}

{{/* Namespace for the dry run of `helm test`; empty if no served namespace is known. */}}
{{- define "storage-webhook.testNamespace" -}}
{{- $namespace := .Values.test.namespace | default (first .Values.namespaces) | default "default" -}}
{{- if and .Values.test.enabled (not (has $namespace (include "storage-webhook.excludedNamespaces" . | fromJsonArray))) -}}
{{- $namespace -}}
{{- end -}}
{{- end -}}
