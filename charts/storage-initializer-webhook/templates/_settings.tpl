{{/* The ConfigMap that the webhook watches. */}}
{{- define "storage-webhook.settingsName" -}}
{{- .Values.existingConfigMap.name | default (printf "%s-settings" (include "storage-webhook.fullname" .)) -}}
{{- end -}}

{{- define "storage-webhook.settingsNamespace" -}}
{{- .Values.existingConfigMap.namespace | default (include "storage-webhook.namespace" .) -}}
{{- end -}}

{{/* The mode in the chart's settings; empty if the settings are in an existing ConfigMap. */}}
{{- define "storage-webhook.mode" -}}
{{- if not .Values.existingConfigMap.name -}}
{{- .Values.storageDefaults.mode -}}
{{- end -}}
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

{{/* The keys of the ConfigMap, as JSON. */}}
{{- define "storage-webhook.settings" -}}
{{- $settings := dict
  "storageInitializer" (omit .Values.storageInitializer "resources")
  "credentials" .Values.credentials
  "deploy" .Values.deploy
  "storageDefaults" .Values.storageDefaults -}}
{{- $settings = include "storage-webhook.set" $settings | fromJson -}}
{{- $initializer := include "storage-webhook.storageInitializer" . | fromJson -}}
{{- $_ := set $settings "storageInitializer" (merge $initializer $settings.storageInitializer) -}}
{{- with .Values.storageContainers -}}
{{- $_ := set $settings "storageContainers" . -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* The image, and the resources as KServe's four keys. null is no request and no limit, which is 0 there. */}}
{{- define "storage-webhook.storageInitializer" -}}
{{- with .Values.storageInitializer -}}
{{- $requests := .resources.requests | default dict -}}
{{- $limits := .resources.limits | default dict -}}
{{- dict
  "image" (include "storage-webhook.withRegistry" (dict "root" $ "image" .image))
  "cpuRequest" ($requests.cpu | default "0")
  "cpuLimit" ($limits.cpu | default "0")
  "memoryRequest" ($requests.memory | default "0")
  "memoryLimit" ($limits.memory | default "0") | toJson -}}
{{- end -}}
{{- end -}}

{{/*
Names of the values that an existing ConfigMap replaces and that are not the defaults, one a line:
(dict "name" "storageDefaults" "given" <value> "default" <value>)
*/}}
{{- define "storage-webhook.unused" -}}
{{- $each := . -}}
{{- if and (kindIs "map" .given) (kindIs "map" .default) -}}
{{- range concat (keys .given) (keys .default) | uniq | sortAlpha -}}
{{- $name := printf "%s.%s" $each.name . -}}
{{- include "storage-webhook.unused" (dict "name" $name "given" (index $each.given .) "default" (index $each.default .)) -}}
{{- end -}}
{{- else if and (ne (toJson .given) (toJson .default)) (not (has .name (list "credentials.enabled" "storageDefaults.claims.read"))) -}}
{{- printf "%s\n" .name -}}
{{- end -}}
{{- end -}}
