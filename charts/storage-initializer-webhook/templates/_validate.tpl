{{/*
Checks for contradictory values. values.schema.json checks each value separately.
Every message names the values and a solution.
*/}}
{{- define "storage-webhook.validate" -}}
{{- include "storage-webhook.validateRelease" . -}}
{{- include "storage-webhook.validateLabels" . -}}
{{- include "storage-webhook.validateSettings" . -}}
{{- include "storage-webhook.validateNamespaces" . -}}
{{- include "storage-webhook.validateCertificates" . -}}
{{- include "storage-webhook.validatePods" . -}}
{{- include "storage-webhook.validateMetrics" . -}}
{{- include "storage-webhook.validateAvailability" . -}}
{{- end -}}

{{- define "storage-webhook.validateRelease" -}}
{{- if and (hasKey .Values "enabled") (not .Values.enabled) -}}
{{- fail "enabled is false, but only the condition of a chart that depends on this one evaluates it: add the condition to that chart, or do not install this chart." -}}
{{- end -}}
{{- if not (regexMatch "^([a-z]([-a-z0-9]{0,50}[a-z0-9])?)?$" .Values.fullnameOverride) -}}
{{- fail (printf "fullnameOverride is %q, which a Service cannot be named: use up to 52 lower-case letters, digits and -, with a letter first and no - last." .Values.fullnameOverride) -}}
{{- end -}}
{{- if not (regexMatch "^([A-Za-z0-9]([-_.A-Za-z0-9]{0,50}[A-Za-z0-9])?)?$" .Values.nameOverride) -}}
{{- fail (printf "nameOverride is %q, which cannot be a label: use up to 52 letters, digits, -, _ and ., with a letter or a digit first and last." .Values.nameOverride) -}}
{{- end -}}
{{- $fullname := include "storage-webhook.fullname" . -}}
{{- $installed := lookup "apps/v1" "Deployment" (include "storage-webhook.namespace" .) $fullname -}}
{{- $label := "app.kubernetes.io/name" -}}
{{- with dig "spec" "selector" "matchLabels" $label "" ($installed | default dict) -}}
{{- if ne . (include "storage-webhook.name" $) -}}
{{- fail (printf "Deployment %s selects its pods by the label %s: %s, which cannot be changed: set nameOverride to %s again, or set fullnameOverride to a new name too." $fullname $label . .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.validateLabels" -}}
{{- $labels := include "storage-webhook.labels" . | fromYaml -}}
{{- $selector := include "storage-webhook.selectorLabels" . | fromYaml -}}
{{- range list
  (list "commonLabels" .Values.commonLabels $labels)
  (list "podLabels" .Values.podLabels $selector)
  (list "service.labels" .Values.service.labels $labels)
  (list "serviceAccount.labels" .Values.serviceAccount.labels $labels)
  (list "metrics.serviceMonitor.labels" .Values.metrics.serviceMonitor.labels $labels)
  (list "metrics.dashboard.labels" .Values.metrics.dashboard.labels $labels)
  (list "metrics.alerts.labels" .Values.metrics.alerts.labels $labels) -}}
{{- $value := index . 0 -}}
{{- $own := index . 2 -}}
{{- range $label, $_ := index . 1 -}}
{{- if hasKey $own $label -}}
{{- fail (printf "%s has the label %s, which the chart sets: remove it. nameOverride changes the name that the chart sets." $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.validateSettings" -}}
{{- with .Values.existingConfigMap -}}
{{- if and .namespace (not .name) -}}
{{- fail "existingConfigMap.namespace is set, but existingConfigMap.name is not: name the ConfigMap too, or leave both empty." -}}
{{- end -}}
{{- if .name -}}
{{- $unused := list -}}
{{- range $key, $default := $.Files.Get "files/default-settings.json" | fromJson -}}
{{- $unused = concat $unused (include "storage-webhook.unused" (dict "name" $key "given" (index $.Values $key) "default" $default) | splitList "\n") -}}
{{- end -}}
{{- with compact $unused -}}
{{- fail (printf "existingConfigMap.name is set, so the webhook would not use %s: set it in ConfigMap %s, and remove it from the values." (join ", " .) $.Values.existingConfigMap.name) -}}
{{- end -}}
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
{{- if le (int .Values.terminationGracePeriodSeconds) (int .Values.drainSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) is not more than drainSeconds (%d): pods would be killed before they complete the requests in flight. Increase terminationGracePeriodSeconds." (int .Values.terminationGracePeriodSeconds) (int .Values.drainSeconds)) -}}
{{- end -}}
{{- with .Values.strategy -}}
{{- $rolling := .rollingUpdate | default dict -}}
{{- if and (eq (.type | default "") "Recreate") $rolling -}}
{{- fail "strategy.type is Recreate, but strategy.rollingUpdate is set: remove it, or set the type to RollingUpdate." -}}
{{- end -}}
{{- $none := list "0" "0%" -}}
{{- if and (has (dig "maxSurge" (ternary 0 1 $.Values.hostNetwork) $rolling | toString) $none) (has (dig "maxUnavailable" (ternary 1 0 $.Values.hostNetwork) $rolling | toString) $none) -}}
{{- fail "strategy.rollingUpdate allows neither a pod more (maxSurge) nor a pod less (maxUnavailable), so no pod could be replaced: set one of them to 1." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "storage-webhook.validateMetrics" -}}
{{- if and .Values.metrics.enabled (eq (int .Values.metrics.port) (int .Values.port)) -}}
{{- fail (printf "metrics.port and port are both %d: use different ports." (int .Values.port)) -}}
{{- end -}}
{{- if and .Values.metrics.enabled (eq (int .Values.metrics.port) (int .Values.service.port)) -}}
{{- fail (printf "metrics.port and service.port are both %d: the Service needs different ports." (int .Values.service.port)) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled is true, but metrics.enabled is false: there would be nothing to scrape. Enable metrics too." -}}
{{- end -}}
{{- with .Values.metrics.serviceMonitor -}}
{{- if and .tlsConfig (not $.Values.metrics.tls) -}}
{{- fail "metrics.serviceMonitor.tlsConfig is set, but metrics.tls is false: set it to true, or leave tlsConfig empty." -}}
{{- end -}}
{{- if and .enabled $.Values.metrics.tls (not .tlsConfig) -}}
{{- if eq $.Values.certificates.mode "existing" -}}
{{- fail "metrics.tls is true and certificates.mode is existing, so the chart does not know how Prometheus can verify the certificate: set metrics.serviceMonitor.tlsConfig." -}}
{{- end -}}
{{- if and .namespace (ne .namespace (include "storage-webhook.namespace" $)) -}}
{{- fail "metrics.serviceMonitor.namespace is not the namespace of the Secret with the CA, and a ServiceMonitor can only use Secrets in its own: set metrics.serviceMonitor.tlsConfig, or leave the namespace empty." -}}
{{- end -}}
{{- end -}}
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
