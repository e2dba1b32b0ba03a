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
    namespace: {{ include "storage-webhook.namespace" .root | quote }}
{{- end -}}

{{/* Whether the ValidatingAdmissionPolicies are created: "true", or empty. */}}
{{- define "storage-webhook.hasAdmissionPolicies" -}}
{{- $setting := .Values.certificates.selfManaged.admissionPolicies -}}
{{- $known := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" -}}
{{- if and (eq .Values.certificates.mode "self-managed") (or (eq $setting "always") (and (eq $setting "auto") $known)) -}}
true
{{- end -}}
{{- end -}}

{{/* matchConditions of a policy for the webhook's service account. */}}
{{- define "storage-webhook.requestsOfTheWebhook" -}}
matchConditions:
  - name: is-the-webhook
    expression: request.userInfo.username == 'system:serviceaccount:{{ include "storage-webhook.namespace" . }}:{{ include "storage-webhook.serviceAccountName" . }}'
{{- end -}}

{{/* A binding that puts a policy in effect in the whole cluster: (dict "root" $ "policy" <suffix of its name>) */}}
{{- define "storage-webhook.policyBinding" -}}
{{- $name := printf "%s-%s" (include "storage-webhook.clusterName" .root) .policy -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  {{- include "storage-webhook.metadata" (dict "root" .root) | nindent 2 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
{{- end -}}
