{{- define "portolan.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "portolan.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "portolan.labels" -}}
{{ include "portolan.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "portolan.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "portolan.name" .) -}}
{{- end -}}

{{- define "portolan.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}{{- else -}}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end -}}

{{- define "portolan.configMap" -}}
{{- .Values.existingConfigMap | default (include "portolan.name" .) -}}
{{- end -}}

{{/* The port of an address such as 0.0.0.0:8080 or "[::]:8080". */}}
{{- define "portolan.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{/* Listener ports as JSON: {"p8080": 8080}, by the names that container and service ports have. */}}
{{- define "portolan.ports" -}}
{{- $ports := dict -}}
{{- if .Values.existingConfigMap -}}
  {{- range $name, $port := .Values.ports -}}{{- $_ := set $ports $name (int $port) -}}{{- end -}}
  {{- if not $ports -}}{{- fail "ports: with existingConfigMap, name the ports of its listeners, such as ports: { http: 8080 }" -}}{{- end -}}
{{- else -}}
  {{- range .Values.config.listeners -}}
    {{- $port := include "portolan.port" .address -}}
    {{- $name := printf "p%s" $port -}}
    {{- if regexMatch "^(127\\.|\\[::1\\]|localhost)" .address -}}{{- fail (printf "config.listeners: %s is loopback, which no client reaches in a pod: use 0.0.0.0:%s" .address $port) -}}{{- end -}}
    {{- if lt (int $port) 1024 -}}{{- fail (printf "config.listeners: port %s needs a privilege that the container does not have: listen above 1023, and map it in service.ports" $port) -}}{{- end -}}
    {{- $_ := set $ports $name (int $port) -}}
  {{- end -}}
{{- end -}}
{{- $ports | toJson -}}
{{- end -}}

{{- define "portolan.probesPort" -}}
{{- if .Values.existingConfigMap -}}{{ .Values.probesPort }}
{{- else -}}
  {{- $probes := dig "admin" "probes" "" .Values.config -}}
  {{- if not $probes -}}{{- fail "config.admin.probes: the kubelet cannot reach the administration on loopback; set probes: 0.0.0.0:9901" -}}{{- end -}}
  {{- include "portolan.port" $probes -}}
{{- end -}}
{{- end -}}

{{/* Whole seconds of a duration such as 500ms or 1m30s, rounded up. */}}
{{- define "portolan.seconds" -}}
{{- $milliseconds := 0 -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $text := . | toString -}}
{{- if not (regexMatch "^([0-9]+(ms|s|m|h|d))+$" $text) -}}{{- fail (printf "%s is not a duration of whole numbers such as 500ms or 1m30s" $text) -}}{{- end -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h|d)" $text -1 -}}
  {{- $unit := regexFind "[a-z]+" . -}}
  {{- $milliseconds = add $milliseconds (mul (regexFind "[0-9]+" . | int) (get $units $unit | int)) -}}
{{- end -}}
{{- div (add $milliseconds 999) 1000 -}}
{{- end -}}

{{/* terminationGracePeriodSeconds: must outlast the lame duck phase and the drain. */}}
{{- define "portolan.grace" -}}
{{- $times := ternary .Values.times .Values.config (ne .Values.existingConfigMap "") -}}
{{- $lame := include "portolan.seconds" ($times.lame_duck | default "5s") | int -}}
{{- $drain := include "portolan.seconds" ($times.drain_time | default "30s") | int -}}
{{- $least := add $lame $drain | int -}}
{{- $asked := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $asked -}}{{ add $least 10 }}
{{- else if lt (int $asked) $least -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is less than lame_duck + drain_time = %d s: requests would be killed; leave it out, or give at least that" (int $asked) $least) -}}
{{- else -}}{{ int $asked }}{{- end -}}
{{- end -}}

{{/* Service ports: {"80": 8080}. */}}
{{- define "portolan.servicePorts" -}}
{{- $usual := dict "8080" "80" "8443" "443" -}}
{{- $out := dict -}}
{{- if .Values.service.ports -}}
  {{- range $port, $target := .Values.service.ports -}}{{- $_ := set $out ($port | toString) (int $target) -}}{{- end -}}
{{- else -}}
  {{- range $name, $port := include "portolan.ports" . | fromJson -}}
    {{- $text := int $port | toString -}}
    {{- $_ := set $out (get $usual $text | default $text) (int $port) -}}
  {{- end -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{- define "portolan.check" -}}
{{- if and (not .Values.existingConfigMap) (not .Values.config.listeners) -}}
{{- fail "config: give Portolan a configuration (listeners, admin, services, routes), or name a ConfigMap in existingConfigMap; deploy/portolan.yaml shows every key" -}}
{{- end -}}
{{- if and .Values.existingConfigMap .Values.config -}}{{- fail "config and existingConfigMap: give one of them" -}}{{- end -}}
{{- if and .Values.keyVault.enabled (not .Values.workloadIdentity.enabled) -}}{{- fail "keyVault: the CSI driver reads the vault with workloadIdentity: enable it, with clientId and tenantId" -}}{{- end -}}
{{- if and .Values.publisher.enabled .Values.config (not .Values.config.front_door) -}}{{- fail "publisher: it publishes what config.front_door says: add that section" -}}{{- end -}}
{{- if and .Values.publisher.enabled .Values.existingConfigMap (not .Values.publisher.existingConfigMap) -}}{{- fail "publisher.existingConfigMap: with existingConfigMap, name the ConfigMap of the publisher, too: the same configuration with the section front_door" -}}{{- end -}}
{{- $mode := dig "front_door" "mode" "off" .Values.config | toString -}}
{{- if and (has $mode (list "dry-run" "apply")) (not .Values.publisher.enabled) (or (ne .Values.kind "Deployment") (gt (int .Values.replicas) 1) .Values.autoscaling.enabled) -}}
{{- fail "config.front_door: several pods would vote as one vantage; set publisher.enabled, which votes with one pod, or replicas: 1" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (ne .Values.kind "Deployment") -}}{{- fail "autoscaling: a DaemonSet has one pod for each node; use kind: Deployment" -}}{{- end -}}
{{- end -}}

{{/* The selector of a component's pods. Takes a dict of root and component. */}}
{{- define "portolan.selectorOf" -}}
{{ include "portolan.selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Whether a component gets the workload identity: the publisher does, a proxy only for Key Vault. */}}
{{- define "portolan.hasIdentity" -}}
{{- if and .root.Values.workloadIdentity.enabled (or (eq .component "publisher") .root.Values.keyVault.enabled) -}}true{{- end -}}
{{- end -}}

{{- define "portolan.serviceAccountOf" -}}
{{- include "portolan.serviceAccount" .root }}{{ if eq .component "publisher" }}-publisher{{ end -}}
{{- end -}}

{{- define "portolan.configMapOf" -}}
{{- if eq .component "publisher" -}}{{ .root.Values.publisher.existingConfigMap | default (printf "%s-publisher" (include "portolan.name" .root)) }}
{{- else -}}{{ include "portolan.configMap" .root }}{{- end -}}
{{- end -}}

{{/* The configuration of a component, when it is in the values: proxies only answer Front Door's probes where a publisher does the rest. */}}
{{- define "portolan.configOf" -}}
{{- $config := deepCopy .root.Values.config -}}
{{- if and (eq .component "proxy") .root.Values.publisher.enabled -}}
  {{- $_ := set $config "front_door" (merge (dict "mode" "off") (pick $config.front_door "service" "probe")) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
