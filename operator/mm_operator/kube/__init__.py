"""The Kubernetes API as the operator sees it: kinds, plain manifests, and a dozen verbs."""
