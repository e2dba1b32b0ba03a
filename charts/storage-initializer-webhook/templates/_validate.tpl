{{/*
Checks for contradictory values. values.schema.json checks each value separately.
Every message names the values and a solution.
*/}}
{{- define "storage-webhook.validate" -}}
{{- include "storage-webhook.validateSettings" . -}}
{{- include "storage-webhook.validateNamespaces" . -}}
{{- include "storage-webhook.validateCertificates" . -}}
{{- include "storage-webhook.validatePods" . -}}
{{- include "storage-webhook.validateAvailability" . -}}
{{- end -}}

{{- define "storage-webhook.validateSettings" -}}
{{- with .Values.existingConfigMap -}}
{{- if and .namespace (not .name) -}}
{{- fail "existingConfigMap.namespace is set, but existingConfigMap.name is not: name the ConfigMap too, or leave both empty." -}}
{{- end -}}
{{- end -}}
{{- with .Values.storageDefaults.claims -}}
{{- if and .deny (not .read) -}}
{{- fail "storageDefaults.claims.deny is true, but storageDefaults.claims.read is false: claims must be read before pods can be denied. Set read to true too." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.validateNamespaces" -}}
{{- $excluded := include "storage-webhook.excludedNamespaces" . | fromJsonArray -}}
{{- range .Values.namespaces -}}
{{- if has . $excluded -}}
{{- fail (printf "namespaces names %q, which is never served (nor are kube-system, the release's own namespace and excludedNamespaces): remove it, or install the webhook into another namespace." .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.test.namespace -}}
{{- if or (has . $excluded) (and $.Values.namespaces (not (has . $.Values.namespaces))) -}}
{{- fail (printf "test.namespace is %q, which is not served, so the test's pod would not be injected: use a namespace that is served." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.validateCertificates" -}}
{{- $mode := .Values.certificates.mode -}}
{{- $injected := false -}}
{{- range $key, $_ := .Values.webhook.annotations -}}
{{- $injected = or $injected (contains "/inject-ca" $key) -}}
{{- end -}}
{{- with .Values.certificates.existing -}}
{{- if eq $mode "existing" -}}
{{- if not .secretName -}}
{{- fail "certificates.mode is existing, but certificates.existing.secretName is empty: name the Secret with tls.crt and tls.key." -}}
{{- end -}}
{{- if not (or .caBundle $injected) -}}
{{- fail "certificates.mode is existing, but certificates.existing.caBundle is empty: the API server would not trust the certificate. Set it to the CA as PEM text (--set-file certificates.existing.caBundle=ca.crt), or have it injected with an annotation in webhook.annotations such as cert-manager.io/inject-ca-from-secret." -}}
{{- end -}}
{{- else if or .secretName .caBundle -}}
{{- fail (printf "certificates.existing is set, but certificates.mode is %s: set the mode to existing, or leave certificates.existing empty." $mode) -}}
{{- end -}}
{{- if contains "PRIVATE KEY" .caBundle -}}
{{- fail "certificates.existing.caBundle contains a private key: set it to the CA's certificate only. The value is published in an object that is not secret." -}}
{{- end -}}
{{- if and .caBundle (not (contains "BEGIN CERTIFICATE" .caBundle)) -}}
{{- fail "certificates.existing.caBundle is not PEM text: it must contain -----BEGIN CERTIFICATE----- and must not be base64-encoded again." -}}
{{- end -}}
{{- end -}}
{{- with .Values.certificates.selfManaged -}}
{{- if ge (float64 .days) (float64 .caDays) -}}
{{- fail (printf "certificates.selfManaged.days (%v) is not less than certificates.selfManaged.caDays (%v): a CA must be valid for longer than the certificates that it signs." .days .caDays) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.certificates.certManager.issuerRef (ne $mode "cert-manager") -}}
{{- fail (printf "certificates.certManager.issuerRef is set, but certificates.mode is %s: set the mode to cert-manager, or leave issuerRef empty." $mode) -}}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.validatePods" -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: set the name of the service account for the webhook's pods." -}}
{{- end -}}
{{- if and .Values.metrics.enabled (eq (int .Values.metrics.port) (int .Values.port)) -}}
{{- fail (printf "metrics.port and port are both %d: use different ports." (int .Values.port)) -}}
{{- end -}}
{{- if and .Values.metrics.enabled (eq (int .Values.metrics.port) (int .Values.service.port)) -}}
{{- fail (printf "metrics.port and service.port are both %d: the Service needs different ports." (int .Values.service.port)) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled is true, but metrics.enabled is false: there would be nothing to scrape. Enable metrics too." -}}
{{- end -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int .Values.drainSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) is not more than drainSeconds (%d): pods would be killed before they complete the requests in flight. Increase terminationGracePeriodSeconds." (int .Values.terminationGracePeriodSeconds) (int .Values.drainSeconds)) -}}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.validateAvailability" -}}
{{- $replicas := int .Values.replicas -}}
{{- with .Values.autoscaling -}}
{{- if .enabled -}}
{{- $replicas = int .minReplicas -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas (%d) is more than autoscaling.maxReplicas (%d): lower it, or raise autoscaling.maxReplicas." (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $.Values.resources) -}}
{{- fail "autoscaling.enabled is true, but resources.requests.cpu is not set: utilization is a percentage of this request. Set it." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if .enabled -}}
{{- $min := not (kindIs "invalid" .minAvailable) -}}
{{- $max := not (kindIs "invalid" .maxUnavailable) -}}
{{- if eq $min $max -}}
{{- fail "podDisruptionBudget needs exactly one of minAvailable and maxUnavailable: set the other to null." -}}
{{- end -}}
{{- if and $min (not (kindIs "string" .minAvailable)) (ge (int .minAvailable) $replicas) -}}
{{- fail (printf "podDisruptionBudget.minAvailable (%d) allows none of the %d pods to be evicted: nodes that run them could not be drained. Use maxUnavailable: 1." (int .minAvailable) $replicas) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
