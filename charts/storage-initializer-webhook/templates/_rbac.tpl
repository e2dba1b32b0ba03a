{{/* What is read in the namespaces of the pods; empty when nothing is. */}}
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
{{- end -}}
{{- end -}}

{{/* What is read of the cluster as a whole; empty when nothing is. */}}
{{- define "storage-webhook.clusterRules" -}}
{{- $mode := .Values.rbac.storageContainers -}}
{{- if or (eq $mode "always") (and (eq $mode "auto") (not .Values.namespaces)) -}}
- apiGroups: [serving.kserve.io]
  resources: [clusterstoragecontainers]
  verbs: [get, list, watch]
{{- end }}
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
