{{- define "onsight.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "onsight.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "onsight.labels" -}}
{{ include "onsight.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "onsight.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (ternary "gpu" "cpu" (gt (int .Values.gpu.count) 0)) }}
{{- end }}

{{- define "onsight.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Ends the rendering where a value is missing that nobody can guess. */}}
{{- define "onsight.check" -}}
{{- with .Values }}
{{- $places := 0 }}
{{- range list .models.claim .models.hostPath .models.image }}{{ if . }}{{ $places = add1 $places }}{{ end }}{{ end }}
{{- if ne (int $places) 1 }}{{ fail (printf "models: expected exactly one of claim, hostPath and image, found %d" (int $places)) }}{{ end }}
{{- if not .tokens.secret }}{{ fail "tokens.secret: expected the name of a Secret with tokens.json, found nothing. Make one with: onsight token create, then kubectl create secret generic NAME --from-file=tokens.json" }}{{ end }}
{{- if eq (empty .trust.configMap) (empty .trust.secret) }}{{ fail "trust: expected a configMap or a secret with the public keys of those whose bundles are served, found both or neither. Make one with: kubectl create configmap NAME --from-file=maker.pem" }}{{ end }}
{{- if and .metrics.serviceMonitor (not .metrics.tokenSecret) }}{{ fail "metrics.tokenSecret: expected the name of a Secret with the key token, found nothing. /metrics answers a token of the scope metrics alone" }}{{ end }}
{{- if and .autoscaling.enabled (not .autoscaling.pendingPerPod) (not .autoscaling.cpuPercent) }}{{ fail "autoscaling: expected pendingPerPod or cpuPercent above 0, found neither" }}{{ end }}
{{- if and .ingress.enabled (not .ingress.host) }}{{ fail "ingress.host: expected the name under which clients ask, found nothing" }}{{ end }}
{{- end }}
{{- end }}
