package deploy

import (
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// checkOperation checks the objects that say how others treat the pods: what may reach them, move them, scale them and
// scrape them. Each must name pods, ports and targets that are there.
func (o *overlay) checkOperation(object runtime.Object) {
	switch x := object.(type) {
	case *networkingv1.NetworkPolicy:
		o.checkPolicy(x)
	case *policyv1.PodDisruptionBudget:
		if len(o.selected(x.Spec.Selector.MatchLabels)) == 0 {
			o.bad("disruption budget %s: selects nothing", x.Name)
		}
	case *autoscalingv2.HorizontalPodAutoscaler:
		r := x.Spec.ScaleTargetRef
		o.checkScale("autoscaler "+x.Name, r.Kind, r.Name, x.Spec.MinReplicas, &x.Spec.MaxReplicas)
	case *scaledObject:
		r := x.Spec.ScaleTargetRef
		o.checkScale("scaled object "+x.Name, r.Kind, r.Name, x.Spec.MinReplicaCount, x.Spec.MaxReplicaCount)
		for _, t := range x.Spec.Triggers {
			if t.Type != "prometheus" || t.Metadata["query"] == "" || t.Metadata["threshold"] == "" ||
				t.Metadata["serverAddress"] == "" {
				o.bad("scaled object %s: a trigger needs type prometheus, serverAddress, query and threshold", x.Name)
			}
		}
	case *monitoringv1.PodMonitor:
		behind := o.selected(x.Spec.Selector.MatchLabels)
		for _, e := range x.Spec.PodMetricsEndpoints {
			if e.Port == nil || !slices.ContainsFunc(behind,
				func(c corev1.Container) bool { return named(c, *e.Port) }) {
				o.bad("pod monitor %s: no pod has the port", x.Name)
			}
		}
	}
}

func named(c corev1.Container, port string) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port })
}

func (o *overlay) checkPolicy(p *networkingv1.NetworkPolicy) {
	behind := o.selected(p.Spec.PodSelector.MatchLabels)
	if len(behind) == 0 {
		o.bad("network policy %s: selects nothing", p.Name)
	}
	if !slices.Equal(p.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
		o.bad("network policy %s: is not about ingress", p.Name)
	}
	for _, rule := range p.Spec.Ingress {
		if len(rule.Ports) == 0 {
			o.bad("network policy %s: opens every port", p.Name)
		}
		for _, port := range rule.Ports {
			if port.Port == nil || !slices.ContainsFunc(behind,
				func(c corev1.Container) bool { return hasPort(c, *port.Port) }) {
				o.bad("network policy %s: no pod has the port %v", p.Name, port.Port)
				continue
			}
			if port.Port.StrVal == "metrics" && len(rule.From) == 0 {
				o.bad("network policy %s: everybody may read metrics", p.Name)
			}
		}
	}
}

func (o *overlay) checkScale(what, kind, name string, low, high *int32) {
	_, stateful := has[*appsv1.StatefulSet](o, name)
	_, deployment := has[*appsv1.Deployment](o, name)
	if kind == "StatefulSet" && !stateful || kind == "Deployment" && !deployment || !stateful && !deployment {
		o.bad("%s: no %s %s", what, kind, name)
	}
	if low == nil || high == nil || *low < 1 || *high < *low {
		o.bad("%s: from %v to %v replicas", what, low, high)
	}
}
