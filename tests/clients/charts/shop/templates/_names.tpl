{{- define "shop.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
{{- define "shop.pod" -}}
serviceAccountName: {{ .Release.Name }}
terminationGracePeriodSeconds: 1
priorityClassName: {{ .Release.Name }}-high
containers:
- name: c
  image: {{ .Values.image | quote }}
  command: [/bin/sleep, inf]
  resources: {requests: {cpu: 10m, memory: 8Mi}}
{{- end -}}
