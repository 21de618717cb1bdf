{{/* The pod of a component: proxy, or publisher, which is the same program with the section front_door. */}}
{{- define "portolan.pod" -}}
{{- $scope := . -}}
{{- $component := .component -}}
{{- $isProxy := eq .component "proxy" -}}
{{- with .root -}}
metadata:
  labels:
    {{- include "portolan.labels" . | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
    {{- if include "portolan.hasIdentity" $scope }}
    azure.workload.identity/use: "true"
    {{- end }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "portolan.serviceAccountOf" $scope }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "portolan.grace" . }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext: {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- if and $isProxy (eq .Values.kind "Deployment") }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: {{ .Values.topologySpread.zone }}
      labelSelector:
        matchLabels: {{- include "portolan.selectorOf" $scope | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: {{ .Values.topologySpread.node }}
      labelSelector:
        matchLabels: {{- include "portolan.selectorOf" $scope | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: portolan
      image: {{ include "portolan.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        - --config
        - /etc/portolan/portolan.yaml
        {{- if .Values.state.enabled }}
        - --state-dir
        - /var/lib/portolan
        {{- end }}
      env:
        - { name: PORTOLAN_LOG, value: {{ .Values.log | quote }} }
        {{- with .Values.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        {{- range $name, $port := include "portolan.ports" . | fromJson }}
        - { name: {{ $name }}, containerPort: {{ int $port }}, protocol: TCP }
        {{- end }}
        - { name: probes, containerPort: {{ include "portolan.probesPort" . }}, protocol: TCP }
      startupProbe:
        httpGet: { path: /livez, port: probes }
        {{- toYaml .Values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: { path: /livez, port: probes }
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: { path: /readyz, port: probes }
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      resources: {{- toYaml ($isProxy | ternary .Values.resources .Values.publisher.resources) | nindent 8 }}
      securityContext: {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        # The folder, not the file (subPath): only folders follow changes of a ConfigMap.
        - { name: config, mountPath: /etc/portolan, readOnly: true }
        {{- if .Values.state.enabled }}
        - { name: state, mountPath: /var/lib/portolan }
        {{- end }}
        {{- if .Values.keyVault.enabled }}
        - { name: key-vault, mountPath: /certs, readOnly: true }
        {{- end }}
        {{- range .Values.tlsSecrets }}
        - { name: tls-{{ . }}, mountPath: /certs/{{ . }}, readOnly: true }
        {{- end }}
        {{- range .Values.secrets }}
        - { name: secret-{{ . }}, mountPath: /secrets/{{ . }}, readOnly: true }
        {{- end }}
        {{- range $name, $_ := .Values.plugins }}
        - { name: plugin-{{ $name }}, mountPath: /plugins/{{ $name }}, readOnly: true }
        {{- end }}
        {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - name: config
      configMap: { name: {{ include "portolan.configMapOf" $scope }} }
    {{- if .Values.state.enabled }}
    - name: state
      emptyDir: { sizeLimit: {{ .Values.state.sizeLimit }} }
    {{- end }}
    {{- if .Values.keyVault.enabled }}
    - name: key-vault
      csi:
        driver: secrets-store.csi.k8s.io
        readOnly: true
        volumeAttributes: { secretProviderClass: {{ include "portolan.name" . }} }
    {{- end }}
    {{- range .Values.tlsSecrets }}
    - name: tls-{{ . }}
      secret: { secretName: {{ . }} }
    {{- end }}
    {{- range .Values.secrets }}
    - name: secret-{{ . }}
      secret: { secretName: {{ . }} }
    {{- end }}
    {{- range $name, $plugin := .Values.plugins }}
    - name: plugin-{{ $name }}
      {{- if $plugin.image }}
      image: { reference: {{ $plugin.image | quote }}, pullPolicy: IfNotPresent }
      {{- else }}
      configMap: { name: {{ $plugin.configMap }} }
      {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}
{{- end -}}
