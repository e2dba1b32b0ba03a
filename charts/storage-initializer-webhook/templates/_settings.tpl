{{/* The ConfigMap that the webhook watches. */}}
{{- define "storage-webhook.settingsName" -}}
{{- .Values.existingConfigMap.name | default (printf "%s-settings" (include "storage-webhook.fullname" .)) -}}
{{- end -}}

{{- define "storage-webhook.settingsNamespace" -}}
{{- .Values.existingConfigMap.namespace | default .Release.Namespace -}}
{{- end -}}

{{/* A map as JSON without null, "" and {}, so that the webhook's defaults apply. Lists are kept: [] means none. */}}
{{- define "storage-webhook.set" -}}
{{- $set := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- $value = include "storage-webhook.set" $value | fromJson -}}
{{- end -}}
{{- if not (has (toJson $value) (list "null" `""` "{}")) -}}
{{- $_ := set $set $key $value -}}
{{- end -}}
{{- end -}}
{{- $set | toJson -}}
{{- end -}}

{{/* The key `storageInitializer` in KServe's format, with four separate keys for resources. */}}
{{- define "storage-webhook.storageInitializer" -}}
{{- $resources := .Values.storageInitializer.resources -}}
{{- $flat := dict
  "cpuRequest" $resources.requests.cpu
  "cpuLimit" $resources.limits.cpu
  "memoryRequest" $resources.requests.memory
  "memoryLimit" $resources.limits.memory -}}
{{- merge $flat (omit .Values.storageInitializer "resources") | toJson -}}
{{- end -}}
