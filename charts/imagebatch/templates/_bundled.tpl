{{/* The volume of a bundled service, if it is to last. Takes its persistence values. */}}
{{- define "imagebatch.bundled.claims" -}}
{{- if .enabled -}}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .size }}
{{- end }}
{{- end }}

{{/* Who may do what on the bundled S3. Anonymous readers have the rights of the bucket's policy. */}}
{{- define "imagebatch.bundled.identities" -}}
{{- $bucket := .Values.s3.bucket }}
{{- $s3 := .Values.bundled.s3 }}
{{- $key := dict "accessKey" $s3.accessKey "secretKey" $s3.secretKey }}
{{- $jobrunnerKey := dict "accessKey" $s3.jobrunner.accessKey "secretKey" $s3.jobrunner.secretKey }}
{{- $rights := list (printf "Read:%s/batches/*/a*" $bucket) (printf "Write:%s/batches/*/a*" $bucket) (printf "Read:%s/images/*" $bucket) (printf "Write:%s/images/*" $bucket) }}
{{- $all := dict "name" "imagebatch" "credentials" (list $key) "actions" (list "Admin" "Read" "Write" "List" "Tagging") }}
{{- $narrow := dict "name" "jobrunner" "credentials" (list $jobrunnerKey) "actions" $rights }}
{{- dict "identities" (list $all $narrow) | toJson }}
{{- end }}

{{/* Keys between SeaweedFS's own parts, or they would serve anybody who reaches their ports. */}}
{{- define "imagebatch.bundled.security" -}}
{{- range list "jwt.signing" "jwt.signing.read" "jwt.filer_signing" "jwt.filer_signing.read" -}}
[{{ . }}]
key = {{ printf "%s/%s" . $.Values.bundled.s3.secretKey | sha256sum | quote }}
{{ end }}
{{- end }}
