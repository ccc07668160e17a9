module github.com/hxp-enterprise/mixtral/test/deploy/crds

go 1.26.0

// Data alone, no package of them is imported: the definitions of the kinds that the manifests use, held to their bytes by
// go.sum. Those of the Gateway API and of its inference extension are in modules that the tests import.
require (
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
