{{/* Rules for the namespaces of the pods: reads, and Events to create. May be empty. */}}
{{- define "storage-webhook.namespacedRules" -}}
{{- $resources := list -}}
{{- if .Values.credentials.enabled -}}
{{- $resources = list "serviceaccounts" "secrets" -}}
{{- end -}}
{{- if .Values.storageDefaults.claims.read -}}
{{- $resources = append $resources "persistentvolumeclaims" -}}
{{- end -}}
{{- with $resources -}}
- apiGroups: [""]
  resources: {{ toJson . }}
  verbs: [get]
{{ end -}}
{{- if .Values.events -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
{{- end -}}

{{/* Cluster-wide rules. May be empty. */}}
{{- define "storage-webhook.clusterRules" -}}
{{- $containers := .Values.rbac.storageContainers -}}
{{- if or (eq $containers "always") (and (eq $containers "auto") (not .Values.namespaces)) -}}
- apiGroups: [serving.kserve.io]
  resources: [clusterstoragecontainers]
  verbs: [list]
{{ end -}}
{{- if .Values.audit.everySeconds -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{ end -}}
{{- if eq .Values.certificates.mode "self-managed" -}}
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  resourceNames: [{{ include "storage-webhook.configurationName" . | quote }}]
  verbs: [get, patch]
{{- end -}}
{{- end -}}

{{/* roleRef and subjects of a binding: (dict "root" $ "kind" "Role" "name" <role>) */}}
{{- define "storage-webhook.binding" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind | quote }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "storage-webhook.serviceAccountName" .root | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end -}}
