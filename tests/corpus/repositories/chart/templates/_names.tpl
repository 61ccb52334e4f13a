{{- define "tiny.name" -}}
{{ .Release.Name }}-{{ .Chart.Name }}
{{- end -}}
