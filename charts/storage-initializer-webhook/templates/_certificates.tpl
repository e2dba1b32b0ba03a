{{/* Certificate sources: everything that depends on `certificates.mode`, except RBAC and validation. */}}

{{- define "storage-webhook.host" -}}
{{- printf "%s.%s.svc" (include "storage-webhook.fullname" .) (include "storage-webhook.namespace" .) -}}
{{- end -}}

{{/* The Secret with the serving certificate. Names differ, because helm deletes its own Secret when the mode changes. */}}
{{- define "storage-webhook.certificateSecret" -}}
{{- if eq .Values.certificates.mode "existing" -}}
{{- .Values.certificates.existing.secretName -}}
{{- else if eq .Values.certificates.mode "self-managed" -}}
{{- printf "%s-certificates" (include "storage-webhook.fullname" .) -}}
{{- else -}}
{{- printf "%s-tls" (include "storage-webhook.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* Arguments for the serving certificate. */}}
{{- define "storage-webhook.certificateArguments" -}}
{{- if eq .Values.certificates.mode "self-managed" -}}
{{- $host := include "storage-webhook.host" . -}}
- --certificate-secret={{ include "storage-webhook.namespace" . }}/{{ include "storage-webhook.certificateSecret" . }}
- --certificate-names={{ $host }},{{ $host }}.cluster.local
- --webhook-configurations={{ include "storage-webhook.configurationName" . }}
{{- with .Values.certificates.selfManaged }}
- --certificate-days={{ .days }}
- --ca-days={{ .caDays }}
{{- if .removeWithNamespace }}
- --remove-with-namespace
{{- end }}
{{- end }}
{{- else -}}
- --tls-cert-file=/etc/storage-webhook/tls/tls.crt
- --tls-key-file=/etc/storage-webhook/tls/tls.key
{{- end -}}
{{- end -}}

{{/* Secrets mounted below /etc/storage-webhook, as JSON: directory to Secret name and items (key to path). */}}
{{- define "storage-webhook.mounts" -}}
{{- $mounts := dict -}}
{{- if ne .Values.certificates.mode "self-managed" -}}
{{- $items := dict "tls.crt" "tls.crt" "tls.key" "tls.key" -}}
{{- $_ := set $mounts "tls" (dict "name" (include "storage-webhook.certificateSecret" .) "items" $items) -}}
{{- end -}}
{{- with .Values.clientCA -}}
{{- if .secretName -}}
{{- $_ := set $mounts "client-ca" (dict "name" .secretName "items" (dict .key "ca.crt")) -}}
{{- end -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end -}}

{{/* The caBundle of the webhook configurations, base64; empty if another component writes it. */}}
{{- define "storage-webhook.caBundle" -}}
{{- if eq .Values.certificates.mode "existing" -}}
{{- .Values.certificates.existing.caBundle | b64enc -}}
{{- else if eq .Values.certificates.mode "self-signed" -}}
{{- (include "storage-webhook.selfSigned" . | fromJson).caBundle -}}
{{- end -}}
{{- end -}}

{{/* Annotations of the webhook configurations for CA injection. */}}
{{- define "storage-webhook.caAnnotations" -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
cert-manager.io/inject-ca-from: {{ include "storage-webhook.namespace" . }}/{{ include "storage-webhook.certificateSecret" . }}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.expiresAnnotation" -}}
storage-webhook/expires
{{- end -}}

{{/*
The self-signed certificate as JSON: `secret` (data, base64), `expires` and `caBundle` (base64). It is created once per
rendering, because the Secret and the webhook configurations must match. The certificate in the cluster is kept until 30
days before it expires. After that the bundle contains the old and the new CA, because pods see the new Secret with a
delay of one or two minutes. The CA's private key is never stored.
*/}}
{{- define "storage-webhook.selfSigned" -}}
{{- if not (hasKey . "selfSigned") -}}
{{- $old := lookup "v1" "Secret" (include "storage-webhook.namespace" .) (include "storage-webhook.certificateSecret" .) | default dict -}}
{{- $expires := dig "metadata" "annotations" (include "storage-webhook.expiresAnnotation" .) "" $old -}}
{{- if and $expires (gt (toDate "2006-01-02" $expires | unixEpoch | int64) (now | dateModify "+720h" | unixEpoch | int64)) -}}
{{- $_ := set . "selfSigned" (dict "secret" $old.data "expires" $expires "caBundle" (index $old.data "ca.crt")) -}}
{{- else -}}
{{- $days := int .Values.certificates.selfSigned.validityDays -}}
{{- $host := include "storage-webhook.host" . -}}
{{- $ca := genCAWithKey (printf "%s CA" $host) $days (genPrivateKey "ecdsa") -}}
{{- $names := list (trimSuffix ".svc" $host) $host (printf "%s.cluster.local" $host) -}}
{{- $leaf := genSignedCertWithKey $host nil $names $days $ca (genPrivateKey "ecdsa") -}}
{{- $secret := dict "ca.crt" ($ca.Cert | b64enc) "tls.crt" ($leaf.Cert | b64enc) "tls.key" ($leaf.Key | b64enc) -}}
{{- $oldCA := dig "data" "ca.crt" "" $old | b64dec -}}
{{- $expires = now | dateModify (printf "+%dh" (mul 24 $days)) | date "2006-01-02" -}}
{{- $_ := set . "selfSigned" (dict "secret" $secret "expires" $expires "caBundle" (print $ca.Cert $oldCA | b64enc)) -}}
{{- end -}}
{{- end -}}
{{- .selfSigned | toJson -}}
{{- end -}}

{{/* How Prometheus verifies the certificate of the metrics port. */}}
{{- define "storage-webhook.metricsTLS" -}}
serverName: {{ include "storage-webhook.host" . }}
ca:
  secret:
    name: {{ include "storage-webhook.certificateSecret" . | quote }}
    key: ca.crt
{{- end -}}
