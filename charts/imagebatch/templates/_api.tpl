{{/* The names to which the API answers, comma-separated. */}}
{{- define "imagebatch.api.allowedHosts" -}}
{{- $service := printf "%s-api" (include "imagebatch.fullname" .) }}
{{- $names := list "localhost" "127.0.0.1" "[::1]" $service }}
{{- $names = append $names (printf "%s.%s" $service .Release.Namespace) }}
{{- $names = append $names (printf "%s.%s.svc" $service .Release.Namespace) }}
{{- $names = append $names (printf "%s.%s.svc.%s" $service .Release.Namespace .Values.clusterDomain) }}
{{- with .Values.api.settings.publicUrl }}
{{- $names = append $names (urlParse .).hostname }}
{{- end }}
{{- if .Values.api.ingress.enabled }}
{{- $names = concat $names .Values.api.ingress.hosts }}
{{- end }}
{{- if .Values.api.httpRoute.enabled }}
{{- $names = concat $names .Values.api.httpRoute.hostnames }}
{{- end }}
{{- concat $names .Values.api.allowedHosts | uniq | join "," }}
{{- end }}
