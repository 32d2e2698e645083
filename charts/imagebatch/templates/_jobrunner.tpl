{{/* What the operator is told of jobrunner pods. */}}

{{/* How they differ from the operator's own idea, as a JSON object without what is empty. */}}
{{- define "imagebatch.jobrunner.pod" -}}
{{- $pod := dict }}
{{- $fields := list "resources" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" }}
{{- range $fields }}
{{- if index $.Values.jobrunner . }}
{{- $_ := set $pod . (index $.Values.jobrunner .) }}
{{- end }}
{{- end }}
{{- with include "imagebatch.pullSecrets" (list . .Values.jobrunner) | fromJsonArray }}
{{- $_ := set $pod "imagePullSecrets" . }}
{{- end }}
{{- with merge (dict) .Values.jobrunner.podLabels .Values.commonLabels }}
{{- $_ := set $pod "labels" . }}
{{- end }}
{{- with .Values.jobrunner.podAnnotations }}
{{- $_ := set $pod "annotations" . }}
{{- end }}
{{- toJson $pod }}
{{- end }}

{{/* Their settings, as a JSON object of texts by variable. */}}
{{- define "imagebatch.jobrunner.env" -}}
{{- $env := dict "IMAGEBATCH_LOG_LEVEL" .Values.logLevel }}
{{- range $name, $value := .Values.jobrunner.settings }}
{{- if not (kindIs "invalid" $value) }}
{{- $_ := set $env (include "imagebatch.variable" $name) (include "imagebatch.text" $value) }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.jobrunner.extraEnv }}
{{- $_ := set $env $name (include "imagebatch.text" $value) }}
{{- end }}
{{- toJson $env }}
{{- end }}
