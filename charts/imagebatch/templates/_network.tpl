{{/* Egress rules of NetworkPolicies, each a list of one rule or more. */}}

{{/* Takes a list: peers, ports, protocols. No peers: any address; no ports: all. */}}
{{- define "imagebatch.egress.rule" -}}
{{- $to := index . 0 }}
{{- $ports := index . 1 }}
{{- $protocols := index . 2 -}}
-
  {{- with $to }}
  to: {{ toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- range $protocol := $protocols }}
    {{- range $ports }}
    - {port: {{ . }}, protocol: {{ $protocol }}}
    {{- else }}
    - {protocol: {{ $protocol }}}
    {{- end }}
    {{- end }}
{{- end }}

{{- define "imagebatch.egress.dns" -}}
{{ include "imagebatch.egress.rule" (list .Values.networkPolicy.dns.to .Values.networkPolicy.dns.ports (list "UDP" "TCP")) }}
{{- end }}

{{- define "imagebatch.egress.kubernetes" -}}
{{- with .Values.networkPolicy.kubernetesApi }}
{{- include "imagebatch.egress.rule" (list .to .ports (list "TCP")) }}
{{- end }}
{{- end }}

{{- define "imagebatch.egress.database" -}}
{{- if .Values.bundled.postgres.enabled }}
{{- $pods := dict "podSelector" (dict "matchLabels" (include "imagebatch.selector" (list . "postgres") | fromYaml)) }}
{{- include "imagebatch.egress.rule" (list (list $pods) (list 5432) (list "TCP")) }}
{{- else }}
{{- with .Values.networkPolicy.database }}
{{- include "imagebatch.egress.rule" (list .to .ports (list "TCP")) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Nothing when it is on the public internet. */}}
{{- define "imagebatch.egress.s3" -}}
{{- if .Values.bundled.s3.enabled }}
{{- $namespace := dict "matchLabels" (dict "kubernetes.io/metadata.name" .Release.Namespace) }}
{{- $pods := dict "matchLabels" (include "imagebatch.selector" (list . "s3") | fromYaml) }}
{{- include "imagebatch.egress.rule" (list (list (dict "namespaceSelector" $namespace "podSelector" $pods)) (list 8333) (list "TCP")) }}
{{- else if .Values.networkPolicy.s3.to }}
{{- include "imagebatch.egress.rule" (list .Values.networkPolicy.s3.to .Values.networkPolicy.s3.ports (list "TCP")) }}
{{- end }}
{{- end }}

{{/* Global unicast, without what core/src/imagebatch/guard.py closes; a test holds that both agree. */}}
{{- define "imagebatch.egress.internet" -}}
{{- $except := .Values.networkPolicy.internet.except }}
{{- $blocks := list }}
{{- range $cidr, $closed := .Files.Get "files/internet.yaml" | fromYaml }}
{{- range $except }}
{{- if eq $cidr (contains ":" . | ternary "2000::/3" "0.0.0.0/0") }}
{{- $closed = append $closed . }}
{{- end }}
{{- end }}
{{- $blocks = append $blocks (dict "ipBlock" (dict "cidr" $cidr "except" $closed)) }}
{{- end }}
{{- include "imagebatch.egress.rule" (list $blocks .Values.networkPolicy.internet.ports (list "TCP")) }}
{{- end }}

{{- define "imagebatch.egress.allowedNetworks" -}}
{{- range .Values.allowedNetworks }}
{{ include "imagebatch.egress.rule" (list (list (dict "ipBlock" (dict "cidr" .cidr))) (compact (list .port)) (list "TCP")) }}
{{- end }}
{{- end }}
