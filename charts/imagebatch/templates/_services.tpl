{{/* Where Postgres and S3 are, and in which Secrets their credentials. */}}

{{- define "imagebatch.database.secret" -}}
{{- ternary (printf "%s-postgres" (include "imagebatch.fullname" .)) .Values.database.existingSecret .Values.bundled.postgres.enabled }}
{{- end }}

{{- define "imagebatch.database.key" -}}
{{- ternary "url" .Values.database.key .Values.bundled.postgres.enabled }}
{{- end }}

{{/* Empty when the cloud's identity is used. */}}
{{- define "imagebatch.s3.secret" -}}
{{- if .Values.bundled.s3.enabled }}
{{- printf "%s-s3" (include "imagebatch.fullname" .) }}
{{- else if not .Values.s3.cloudIdentity }}
{{- .Values.s3.existingSecret }}
{{- end }}
{{- end }}

{{- define "imagebatch.s3.jobrunnerSecret" -}}
{{- if .Values.bundled.s3.enabled }}
{{- printf "%s-s3-jobrunner" (include "imagebatch.fullname" .) }}
{{- else if not .Values.s3.cloudIdentity }}
{{- default .Values.s3.existingSecret .Values.s3.jobrunner.existingSecret }}
{{- end }}
{{- end }}

{{- define "imagebatch.s3.endpoint" -}}
{{- if .Values.bundled.s3.enabled }}
{{- printf "http://%s-s3.%s.svc:%v" (include "imagebatch.fullname" .) .Release.Namespace .Values.bundled.s3.service.port }}
{{- else }}
{{- .Values.s3.endpoint }}
{{- end }}
{{- end }}
