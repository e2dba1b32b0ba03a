{{- define "storage-webhook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name alone, where it says what this is: `storage-webhook`. 52 characters leave room for suffixes. */}}
{{- define "storage-webhook.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if or (contains "storage-webhook" .Release.Name) (contains (include "storage-webhook.name" .) .Release.Name) -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "storage-webhook.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-wide objects carry the namespace, so that two releases of one name do not meet. */}}
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

{{/* labels and annotations of an object: (dict "root" $ "annotations" <its own>) */}}
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

{{/* Never served: a cluster must be able to start its own parts, and the webhook itself, while the webhook is down. */}}
{{- define "storage-webhook.excludedNamespaces" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.excludedNamespaces | uniq | toJson -}}
{{- end -}}

{{/* Where `helm test` asks for a pod; empty where no namespace is known to be served. */}}
{{- define "storage-webhook.testNamespace" -}}
{{- $namespace := .Values.test.namespace | default (first .Values.namespaces) | default "default" -}}
{{- if and .Values.test.enabled (not (has $namespace (include "storage-webhook.excludedNamespaces" . | fromJsonArray))) -}}
{{- $namespace -}}
{{- end -}}
{{- end -}}
