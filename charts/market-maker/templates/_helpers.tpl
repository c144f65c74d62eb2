{{/* Names, labels and choices that several templates share. */}}

{{- define "market-maker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "market-maker.operatorName" -}}{{ include "market-maker.fullname" . }}-operator{{- end -}}
{{- define "market-maker.exchangeName" -}}{{ include "market-maker.fullname" . }}-exchange{{- end -}}

{{- define "market-maker.serviceAccountName" -}}
{{- default (include "market-maker.operatorName" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "market-maker.statusKeySecret" -}}
{{- default (printf "%s-status-key" (include "market-maker.fullname" .)) .Values.statusToken.existingSecret -}}
{{- end -}}

{{/* Labels of every object; call with (dict "root" $ "component" "operator"). The component may be empty. */}}
{{- define "market-maker.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "market-maker.selectorLabels" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels that select pods: never changed, for a Deployment's selector is immutable. */}}
{{- define "market-maker.selectorLabels" -}}
app.kubernetes.io/name: market-maker
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* What the runners' pods and Services carry, whichever release's operator made them. */}}
{{- define "market-maker.runnerSelectorLabels" -}}
app.kubernetes.io/name: market-maker
app.kubernetes.io/component: runner
{{- end -}}

{{/* A full image reference; call with (dict "root" $ "image" .Values.image.operator). */}}
{{- define "market-maker.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* Pod and container security of the restricted Pod Security Standard. */}}
{{- define "market-maker.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}
{{- define "market-maker.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* "true" where a toggle of true, false or "auto" asks for a kind; call with (dict "root" $ "enabled" … "kind" "PrometheusRule"). */}}
{{- define "market-maker.wanted" -}}
{{- if kindIs "bool" .enabled -}}
{{- if .enabled }}true{{ end -}}
{{- else if eq .enabled "auto" -}}
{{- if .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* Namespaces of the accounts of the simulated exchange, as JSON under "items". */}}
{{- define "market-maker.accountNamespaces" -}}
{{- $names := list -}}
{{- if .Values.simulatedExchange.enabled -}}
{{- range .Values.simulatedExchange.accounts }}{{ $names = append $names .namespace }}{{ end -}}
{{- end -}}
{{- dict "items" ($names | uniq | sortAlpha) | toJson -}}
{{- end -}}

{{/* One Prometheus rule or Loki rule group file with the chart's exclusions, labels and runbook links; call with (dict "root" $ "file" "files/rules/….yaml"). */}}
{{- define "market-maker.ruleGroups" -}}
{{- $root := .root -}}
{{- $groups := list -}}
{{- range (.root.Files.Get .file | fromYaml).groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- if not (has .alert $root.Values.prometheusRule.excludeRules) -}}
{{- $runbook := dict "runbook_url" (printf "%s/%s.md" ($root.Values.runbookBaseUrl | trimSuffix "/") .alert) -}}
{{- $rule := merge (dict "annotations" (merge $runbook .annotations) "labels" (merge (deepCopy $root.Values.prometheusRule.additionalRuleLabels) .labels)) . -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- if $rules }}{{ $groups = append $groups (dict "name" .name "rules" $rules) }}{{ end -}}
{{- end -}}
{{- dict "groups" $groups | toYaml -}}
{{- end -}}

{{/* Who may scrape metrics, as one entry of a NetworkPolicy's `from`. */}}
{{- define "market-maker.monitoringPeer" -}}
{{- $monitoring := .Values.networkPolicy.monitoring -}}
- namespaceSelector:
    {{- if $monitoring.namespaceLabels }}
    matchLabels:
      {{- toYaml $monitoring.namespaceLabels | nindent 6 }}
    {{- else }} {}
    {{- end }}
  {{- with $monitoring.podLabels }}
  podSelector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}

{{/* "true" where an object does not exist yet or is this release's; call with (dict "root" $ "existing" (lookup …)). */}}
{{- define "market-maker.ours" -}}
{{- if not .existing -}}
true
{{- else if eq (dig "metadata" "annotations" "meta.helm.sh/release-name" "" .existing) .root.Release.Name -}}
true
{{- end -}}
{{- end -}}
