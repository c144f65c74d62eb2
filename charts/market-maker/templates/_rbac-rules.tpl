{{/*
What the operator may do in a namespace whose MarketMakers it serves. It holds every right that it grants to an engine (the API
server refuses a Role that grants more than its maker holds), and on Secrets `create` alone.
*/}}
{{- define "market-maker.servedNamespaceRules" -}}
- apiGroups: [marketmaker.io] # observe, and set the finalizer; the spec is never touched
  resources: [marketmakers]
  verbs: [get, list, watch, patch]
- apiGroups: [marketmaker.io]
  resources: [marketmakers/status]
  verbs: [get, patch]
- apiGroups: [marketmaker.io] # granted on to the engines, which obey halts themselves
  resources: [tradinghalts]
  verbs: [get, list, watch]
- apiGroups: [""] # engines are made and removed, never changed
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""] # children by server-side apply
  resources: [services, serviceaccounts, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""] # the status token, made once; a patch or update would answer with the whole object, so it would be a read
  resources: [secrets]
  verbs: [create]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* What the operator may do in the claims namespace (the release's): make claims, grant each engine its own, withdraw the grant. */}}
{{- define "market-maker.claimsNamespaceRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch]
- apiGroups: [""] # claim state
  resources: [configmaps]
  verbs: [get, list, watch, create, update, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
{{- end -}}

{{/* What the operator reads of the cluster itself: whether a node is lost. Without it a lost node shows by its silent Lease alone. */}}
{{- define "market-maker.clusterRules" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end -}}
