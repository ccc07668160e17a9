{{- define "mixtral.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "mixtral.name" -}}
{{- if contains "mixtral" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-mixtral{{ end }}
{{- end }}

{{/* Labels of every object; selectors take only the first. */}}
{{- define "mixtral.labels" -}}
{{ .name | printf "app.kubernetes.io/name: %s" }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "mixtral.locked" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}

{{- define "mixtral.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {app.kubernetes.io/name: {{ . }}}}
{{- end }}

{{- define "mixtral.pullSecrets" -}}
{{- with .Values.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}

{{/* The configuration: what the mode needs, and over it what the values say. */}}
{{- define "mixtral.config" -}}
{{- $name := include "mixtral.name" . }}
{{- $c := dict "host" "0.0.0.0" "port" 11400 "api_key_file" "/etc/mixtral-keys/keys" "metrics_listen" "0.0.0.0:9464" "log_format" "json" }}
{{- if eq .Values.mode "embedded" }}
{{- $_ := merge $c (dict "model_path" .Values.embedded.model "memory_limit_gb" .Values.embedded.memoryGB "cpu_cores" .Values.embedded.cpuCores "max_concurrent_requests" .Values.embedded.concurrent) }}
{{- else if eq .Values.vllm.router "llm-d" }}
{{- $_ := merge $c (dict "backend" "vllm" "upstream" (printf "http://%s-gateway-istio" $name)) }}
{{- else }}
{{- $urls := list }}
{{- range until (int .Values.vllm.replicas) }}
{{- $urls = append $urls (printf "http://vllm-%s-%d.vllm-%s:8000" $name . $name) }}
{{- end }}
{{- $_ := merge $c (dict "backend" "vllm" "upstream" (join "," $urls)) }}
{{- end }}
{{- range $key, $value := merge (deepCopy .Values.config) $c }}
{{ $key }}: {{ $value | toJson }}
{{- end }}
{{- end }}

{{/* The service's container, the same in both modes but for its resources. */}}
{{- define "mixtral.serving" -}}
- name: mixtral
  image: {{ include "mixtral.image" . }}
  args: [serve, --config, /etc/mixtral/mixtral.yaml]
  ports: [{name: http, containerPort: 11400}, {name: metrics, containerPort: 9464}]
  # Probes use a listener that clients cannot exhaust.
  {{- if eq .Values.mode "embedded" }}
  startupProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 5, failureThreshold: 120}
  {{- end }}
  readinessProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 5}
  livenessProbe: {httpGet: {path: /livez, port: metrics}, periodSeconds: 10, failureThreshold: 3}
  # On SIGTERM the service refuses new requests. By then the load balancers must have removed it.
  lifecycle: {preStop: {sleep: {seconds: 10}}}
  {{- if eq .Values.mode "embedded" }}
  resources:
    requests: {cpu: {{ .Values.embedded.cpuCores | quote }}, memory: {{ .Values.embedded.memoryGB }}Gi}
    limits: {cpu: {{ .Values.embedded.cpuCores | quote }}, memory: {{ div (add (mul (int .Values.embedded.memoryGB) 11) 9) 10 }}Gi}
  {{- else }}
  resources: {requests: {cpu: 500m, memory: 256Mi}, limits: {memory: 1Gi}}
  {{- end }}
  securityContext: {{ include "mixtral.locked" . }}
  volumeMounts:
    - {name: data, mountPath: /data}
    - {name: config, mountPath: /etc/mixtral, readOnly: true}
    - {name: keys, mountPath: /etc/mixtral-keys, readOnly: true}
{{- end }}
