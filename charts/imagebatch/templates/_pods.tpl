{{/* What all pods have in common. */}}

{{/* The restricted Pod Security Standard. Takes the user and group id. */}}
{{- define "imagebatch.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "imagebatch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a pod runs, and how its images are pulled. Takes a list: the root, and the part's values. */}}
{{- define "imagebatch.placement" -}}
{{- with include "imagebatch.pullSecrets" . | fromJsonArray }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- $part := index . 1 }}
{{- range $field := list "priorityClassName" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- with index $part $field }}
{{ $field }}: {{ kindIs "string" . | ternary (toYaml .) (toYaml . | nindent 2) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Settings by their camelCase names, as a container's env. */}}
{{- define "imagebatch.settings" -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ include "imagebatch.variable" $name }}
  value: {{ include "imagebatch.text" $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "imagebatch.variable" -}}
IMAGEBATCH_{{ snakecase . | upper }}
{{- end }}

{{/* A value as text: values files read whole numbers as floats, and 1e+09 is no whole number to a program. */}}
{{- define "imagebatch.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}
{{- printf "%.0f" . }}
{{- else }}
{{- toString . }}
{{- end }}
{{- end }}

{{/* A variable that is set only when its value is. Takes a list: name, value. */}}
{{- define "imagebatch.optional" -}}
{{- $value := index . 1 }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: {{ index . 0 }}
  value: {{ include "imagebatch.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "imagebatch.fromSecret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}

{{/* How the API and the operator reach Postgres and S3, and what they open. */}}
{{- define "imagebatch.services" -}}
{{ include "imagebatch.fromSecret" (list "DATABASE_URL" (include "imagebatch.database.secret" .) (include "imagebatch.database.key" .)) }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_DATABASE_CONNECTIONS" .Values.database.connections) }}
- name: IMAGEBATCH_S3_BUCKET
  value: {{ .Values.s3.bucket | quote }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_S3_ENDPOINT" (include "imagebatch.s3.endpoint" .)) }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_S3_REGION" .Values.s3.region) }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_S3_ADDRESSING" (ternary "path" .Values.s3.addressing .Values.bundled.s3.enabled)) }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_S3_PUBLIC_URL" .Values.s3.publicUrl) }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_S3_LINKS" .Values.s3.links) }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_S3_LINK_SECONDS" .Values.s3.linkSeconds) }}
{{- with include "imagebatch.s3.secret" . }}
{{ include "imagebatch.fromSecret" (list "IMAGEBATCH_S3_ACCESS_KEY" . "accessKey") }}
{{ include "imagebatch.fromSecret" (list "IMAGEBATCH_S3_SECRET_KEY" . "secretKey") }}
{{- end }}
{{- include "imagebatch.optional" (list "IMAGEBATCH_ALLOWED_NETWORKS" (include "imagebatch.allowedNetworks" .)) }}
- name: IMAGEBATCH_LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- end }}

{{- define "imagebatch.allowedNetworks" -}}
{{- $texts := list }}
{{- range .Values.allowedNetworks }}
{{- $bracketed := and .port (contains ":" .cidr) }}
{{- $cidr := ternary (printf "[%s]" .cidr) .cidr (eq (toString $bracketed) "true") }}
{{- if .port }}
{{- $cidr = printf "%s:%s" $cidr (include "imagebatch.text" .port) }}
{{- end }}
{{- $texts = append $texts $cidr }}
{{- end }}
{{- join "," $texts }}
{{- end }}

{{/* A change of the Secrets that the chart makes must replace the pods that read them. */}}
{{- define "imagebatch.checksum" -}}
checksum/bundled: {{ .Values.bundled | toJson | sha256sum | trunc 32 }}
{{- end }}
