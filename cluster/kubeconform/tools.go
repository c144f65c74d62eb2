//go:build tools

// Package tools pins kubeconform in a module of its own: it shares nothing with Kubernetes' modules.
package tools

import _ "github.com/yannh/kubeconform/cmd/kubeconform"
