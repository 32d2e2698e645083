{{/* Names, labels and images. */}}

{{- define "imagebatch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "imagebatch.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "imagebatch.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "imagebatch.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels of an object. Takes a list: the root, and the component ("" for none). */}}
{{- define "imagebatch.labels" -}}
{{- $root := index . 0 }}
{{- include "imagebatch.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels by which pods of a component are selected. Takes the same list. */}}
{{- define "imagebatch.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: imagebatch
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* The labels that the operator gives its jobrunner pods. */}}
{{- define "imagebatch.jobrunner.selector" -}}
app.kubernetes.io/name: imagebatch
app.kubernetes.io/component: jobrunner
app.kubernetes.io/managed-by: imagebatch-operator
{{- end }}

{{/* The ServiceAccount of a part. Takes a list: the root, and api, operator or jobrunner. */}}
{{- define "imagebatch.serviceAccountName" -}}
{{- $root := index . 0 }}
{{- $account := (index $root.Values (index . 1)).serviceAccount }}
{{- if $account.name }}
{{- $account.name }}
{{- else if $account.create }}
{{- printf "%s-%s" (include "imagebatch.fullname" $root) (index . 1) }}
{{- else -}}
default
{{- end }}
{{- end }}

{{/* The release's namespace and the watched ones, as a JSON array. */}}
{{- define "imagebatch.namespaces" -}}
{{- prepend (default list .Values.watchNamespaces) .Release.Namespace | uniq | toJson }}
{{- end }}

{{/* An image's reference. Takes a list: the root, and the part's image values. */}}
{{- define "imagebatch.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $registry := coalesce $image.registry (default dict $root.Values.global).imageRegistry $root.Values.image.registry }}
{{- $name := empty $registry | ternary $image.repository (printf "%s/%s" (trimSuffix "/" (default "" $registry)) $image.repository) }}
{{- if $image.digest }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag | include "imagebatch.text") }}
{{- end }}
{{- end }}

{{- define "imagebatch.pullPolicy" -}}
{{- $root := index . 0 }}
{{- default $root.Values.image.pullPolicy (index . 1).pullPolicy }}
{{- end }}

{{/* The Secrets to pull a part's image with, as a JSON array. Takes a list: the root, and the part's values. */}}
{{- define "imagebatch.pullSecrets" -}}
{{- $root := index . 0 }}
{{- $own := default $root.Values.imagePullSecrets (index . 1).imagePullSecrets }}
{{- concat (default list (default dict $root.Values.global).imagePullSecrets) (default list $own) | uniq | toJson }}
{{- end }}
