package deploy

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	inferencev1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/hxp-enterprise/mixtral"
)

func bufioReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// workload is what has pods.
type workload struct {
	name   string
	labels labels.Set
	pod    corev1.PodSpec
	serves bool // runs for ever, behind probes
}

// overlay is what one is made of.
type overlay struct {
	objects   []runtime.Object
	workloads []workload
	problems  []string
}

func (o *overlay) bad(format string, args ...any) {
	o.problems = append(o.problems, fmt.Sprintf(format, args...))
}

// inspect finds what is wrong with manifests.
func inspect(manifests string) []string {
	o := &overlay{}
	o.objects, o.problems = decode(manifests)
	for _, object := range o.objects {
		switch w := object.(type) {
		case *appsv1.Deployment:
			o.add(w.Name, w.Spec.Template, w.Spec.Selector.MatchLabels, true)
		case *appsv1.StatefulSet:
			o.add(w.Name, w.Spec.Template, w.Spec.Selector.MatchLabels, true)
			for _, claim := range w.Spec.VolumeClaimTemplates {
				last := &o.workloads[len(o.workloads)-1].pod
				last.Volumes = append(last.Volumes, corev1.Volume{Name: claim.Name})
			}
		case *batchv1.Job:
			o.add(w.Name, w.Spec.Template, nil, false)
		}
	}
	for _, w := range o.workloads {
		o.checkPod(w)
	}
	for _, object := range o.objects {
		switch x := object.(type) {
		case *corev1.Service:
			o.checkService(x)
		case *corev1.ConfigMap:
			o.checkConfig(x)
		case *inferencev1.InferencePool:
			o.checkPool(x)
		case *gatewayv1.HTTPRoute:
			o.checkRoute(x)
		default:
			o.checkOperation(x)
		}
	}
	return o.problems
}

func (o *overlay) add(name string, t corev1.PodTemplateSpec, selector map[string]string, serves bool) {
	if !labels.SelectorFromSet(selector).Matches(labels.Set(t.Labels)) {
		o.bad("%s: the selector %v does not match its own pods %v", name, selector, t.Labels)
	}
	o.workloads = append(o.workloads, workload{name, t.Labels, t.Spec, serves})
}

// has looks for an object of a type by name.
func has[T interface{ GetName() string }](o *overlay, name string) (found T, ok bool) {
	for _, object := range o.objects {
		if x, is := object.(T); is && x.GetName() == name {
			return x, true
		}
	}
	return found, false
}

func (o *overlay) checkPod(w workload) {
	p := w.pod
	if s := p.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil ||
		*s.RunAsUser == 0 {
		o.bad("%s: may run as root", w.name)
	} else if s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		o.bad("%s: no seccomp profile", w.name)
	}
	if name := p.ServiceAccountName; name != "" {
		if _, ok := has[*corev1.ServiceAccount](o, name); !ok {
			o.bad("%s: no service account %s", w.name, name)
		}
	}
	var volumes []string
	for _, v := range p.Volumes {
		volumes = append(volumes, v.Name)
		if v.ConfigMap != nil {
			if _, ok := has[*corev1.ConfigMap](o, v.ConfigMap.Name); !ok {
				o.bad("%s: no config map %s", w.name, v.ConfigMap.Name)
			}
		}
		if v.PersistentVolumeClaim != nil {
			if _, ok := has[*corev1.PersistentVolumeClaim](o, v.PersistentVolumeClaim.ClaimName); !ok {
				o.bad("%s: no claim %s", w.name, v.PersistentVolumeClaim.ClaimName)
			}
		}
	}
	for _, c := range p.TopologySpreadConstraints {
		if c.LabelSelector == nil || len(o.selected(c.LabelSelector.MatchLabels)) == 0 {
			o.bad("%s: is spread among pods that are not there", w.name)
		}
	}
	for _, c := range p.Containers {
		if ours(c) && (p.EnableServiceLinks == nil || *p.EnableServiceLinks) {
			o.bad("%s: Kubernetes sets MIXTRAL_PORT and the like, which are the service's own", w.name)
		}
	}
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		o.checkContainer(w.name+"/"+c.Name, c, volumes)
	}
	for _, c := range p.Containers {
		if w.serves {
			o.checkProbes(w.name+"/"+c.Name, c)
			o.checkStop(w.name+"/"+c.Name, c, p.TerminationGracePeriodSeconds)
		}
	}
}

var pinned = regexp.MustCompile(`^[a-z0-9./_-]+(:v?[0-9]+\.[0-9]+[a-z0-9._-]*|@sha256:[0-9a-f]{64})$`)

func (o *overlay) checkContainer(name string, c corev1.Container, volumes []string) {
	if !pinned.MatchString(c.Image) {
		o.bad("%s: the image %q is not pinned to a version", name, c.Image)
	}
	s := c.SecurityContext
	if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Capabilities == nil ||
		!slices.Contains(s.Capabilities.Drop, "ALL") {
		o.bad("%s: keeps privileges", name)
	}
	r := c.Resources
	if r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() {
		o.bad("%s: requests of CPU and memory and a limit of memory must be said", name)
	} else if r.Limits.Memory().Cmp(*r.Requests.Memory()) < 0 {
		o.bad("%s: requests more memory than its limit", name)
	}
	for _, m := range c.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			o.bad("%s: no volume %s", name, m.Name)
		}
	}
	for _, e := range c.Env {
		if secret := regexp.MustCompile(`(?i)TOKEN|KEY|PASSWORD|DATABASE_URL`).MatchString(e.Name); secret &&
			e.Value != "" {
			o.bad("%s: %s is a secret in the open", name, e.Name)
		}
	}
}

func ours(c corev1.Container) bool { return strings.Contains(c.Image, "hxp-enterprise/mixtral") }

func (o *overlay) checkProbes(name string, c corev1.Container) {
	if c.ReadinessProbe == nil || c.LivenessProbe == nil {
		o.bad("%s: readiness and liveness must be probed", name)
		return
	}
	for path, p := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe} {
		get := p.HTTPGet
		if get == nil {
			if p.GRPC == nil || !hasPort(c, intstr.FromInt32(p.GRPC.Port)) {
				o.bad("%s: a probe asks a port that is none", name)
			}
			continue
		}
		if !hasPort(c, get.Port) {
			o.bad("%s: a probe asks port %s, which is none", name, get.Port.String())
		}
		if ours(c) && get.Path != path {
			o.bad("%s: probes %s where %s is meant", name, get.Path, path)
		}
	}
	if ours(c) && !hasPort(c, intstr.FromInt(mixtral.DefaultConfig().Port)) {
		o.bad("%s: does not expose the service's port %d", name, mixtral.DefaultConfig().Port)
	}
}

// checkStop: whoever sends requests forgets the service before it refuses them, and its drain has the time it takes.
func (o *overlay) checkStop(name string, c corev1.Container, grace *int64) {
	if !ours(c) {
		return
	}
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil ||
		c.Lifecycle.PreStop.Sleep.Seconds < 5 {
		o.bad("%s: stops while requests are still sent to it: no preStop", name)
		return
	}
	if need := float64(c.Lifecycle.PreStop.Sleep.Seconds) + mixtral.DefaultConfig().DrainTimeoutS; grace == nil ||
		float64(*grace) <= need {
		o.bad("%s: preStop and drain take %v s, more than the pod's grace period", name, need)
	}
}

func hasPort(c corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int &&
			p.ContainerPort == port.IntVal
	})
}

// selected gives the containers of the workloads that a selector matches.
func (o *overlay) selected(selector map[string]string) (all []corev1.Container) {
	for _, w := range o.workloads {
		if len(selector) > 0 && labels.SelectorFromSet(selector).Matches(w.labels) {
			all = append(all, w.pod.Containers...)
		}
	}
	return all
}

func (o *overlay) checkService(s *corev1.Service) {
	behind := o.selected(s.Spec.Selector)
	if len(behind) == 0 {
		o.bad("service %s: selects nothing with %v", s.Name, s.Spec.Selector)
	}
	for _, p := range s.Spec.Ports {
		if !slices.ContainsFunc(behind, func(c corev1.Container) bool { return hasPort(c, p.TargetPort) }) {
			o.bad("service %s: no container has the port %s", s.Name, p.TargetPort.String())
		}
	}
	if s.Name == "mixtral" && (len(s.Spec.Ports) != 1 || int(s.Spec.Ports[0].Port) != mixtral.DefaultConfig().Port) {
		o.bad("service %s: not at the service's port", s.Name)
	}
}

// checkConfig reads a configuration as the service does.
func (o *overlay) checkConfig(m *corev1.ConfigMap) {
	text, ok := m.Data["mixtral.yaml"]
	if !ok {
		return
	}
	c, err := mixtral.ParseConfig("mixtral.yaml", []byte(text), nil)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		o.bad("config map %s: %v", m.Name, err)
		return
	}
	if c.Port != mixtral.DefaultConfig().Port || c.APIKeyFile == "" {
		o.bad("config map %s: port %d, API keys in %q", m.Name, c.Port, c.APIKeyFile)
	}
	_, port, _ := net.SplitHostPort(c.MetricsListen)
	if metrics, ok := has[*corev1.Service](o, m.Name+"-metrics"); !ok ||
		port != strconv.Itoa(int(metrics.Spec.Ports[0].Port)) || metrics.Annotations["prometheus.io/port"] != port ||
		!slices.ContainsFunc(o.selected(metrics.Spec.Selector),
			func(c corev1.Container) bool { return hasPort(c, intstr.Parse(port)) }) {
		o.bad("config map %s: metrics_listen %q is not where the pods and the service of the metrics have it", m.Name,
			c.MetricsListen)
	}
}

func (o *overlay) checkPool(p *inferencev1.InferencePool) {
	selector := map[string]string{}
	for k, v := range p.Spec.Selector.MatchLabels {
		selector[string(k)] = string(v)
	}
	for _, port := range p.Spec.TargetPorts {
		if !slices.ContainsFunc(o.selected(selector), func(c corev1.Container) bool {
			return hasPort(c,
				intstr.FromInt32(int32(port.Number)))
		}) {
			o.bad("pool %s: nothing it selects has port %d", p.Name, port.Number)
		}
	}
	ref := p.Spec.EndpointPickerRef
	if ref == nil || ref.Port == nil {
		o.bad("pool %s: no endpoint picker", p.Name)
		return
	}
	service, ok := has[*corev1.Service](o, string(ref.Name))
	if !ok || !slices.ContainsFunc(service.Spec.Ports,
		func(sp corev1.ServicePort) bool { return sp.Port == int32(ref.Port.Number) }) {
		o.bad("pool %s: no picker at %s:%d", p.Name, ref.Name, ref.Port.Number)
	}
}

func (o *overlay) checkRoute(r *gatewayv1.HTTPRoute) {
	for _, p := range r.Spec.ParentRefs {
		if _, ok := has[*gatewayv1.Gateway](o, string(p.Name)); !ok {
			o.bad("route %s: no gateway %s", r.Name, p.Name)
		}
	}
	for _, rule := range r.Spec.Rules {
		for _, b := range rule.BackendRefs {
			if _, ok := has[*inferencev1.InferencePool](o, string(b.Name)); !ok || b.Kind == nil ||
				*b.Kind != "InferencePool" || b.Group == nil || *b.Group != inferencev1.GroupName {
				o.bad("route %s: no pool %s", r.Name, b.Name)
			}
		}
	}
}

func TestOverlays(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "overlays"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(overlays) {
		t.Errorf("%d overlays, %d are tested", len(entries), len(overlays))
	}
	for _, name := range slices.Concat(overlays, []string{"embedded+monitoring", "vllm+monitoring+keda", "vllm+hpa"}) {
		manifests := build(t, name)
		for _, p := range inspect(manifests) {
			t.Errorf("%s: %s", name, p)
		}
		// A Secret that somebody must make is named where they will read it.
		about, err := os.ReadFile(filepath.Join(root, "overlays", strings.Split(name, "+")[0],
			"kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:secretName: |secretKeyRef:\n(?: +key: \S+\n)? +name: )(\S+)`).FindAllStringSubmatch(manifests, -1) {
			if !strings.Contains(string(about), m[1]) && !strings.Contains(string(about), "overlay vllm") {
				t.Errorf("%s: nobody is told of the Secret %s", name, m[1])
			}
		}
	}
}

// TestFaultsAreFound: each check finds the fault that it is for, planted into manifests that are good.
func TestFaultsAreFound(t *testing.T) {
	for _, test := range []struct{ overlay, old, new, want string }{
		{"embedded", "startupProbe:", "startProbe:", `unknown field "spec.template.spec.containers[0].startProbe"`},
		{"embedded", "serviceName: mixtral", "serviceName: [mixtral]", "cannot unmarshal array"},
		{"embedded", "kind: StatefulSet", "kind: StateSet", "no kind"},
		{"embedded", "mixtral:v0.1.0", "mixtral:latest", "not pinned"},
		{"embedded", "mixtral:v0.1.0", "mixtral", "not pinned"},
		{"embedded", "runAsNonRoot: true", "runAsNonRoot: false", "root"},
		{"embedded", "runAsUser: 65532", "runAsUser: 0", "root"},
		{"embedded", "type: RuntimeDefault", "type: Unconfined", "seccomp"},
		{"embedded", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "privileges"},
		{"embedded", "memory: 44Gi", "memory: 39Gi", "more memory than its limit"},
		{"embedded", "path: /livez", "path: /readyz", "where /livez is meant"},
		{"embedded", "path: /readyz", "path: /health", "where /readyz is meant"},
		{"embedded", "containerPort: 11400", "containerPort: 11401", "service's port 11400"},
		{"embedded", "port: 11400\n    targetPort", "port: 80\n    targetPort", "not at the service's port"},
		{"embedded", "targetPort: http", "targetPort: grpc", "no container has the port"},
		{"embedded", "model_path:", "model:", "unknown key"},
		{"embedded", "memory_limit_gb: 40", "memory_limit_gb: -1", "memory_limit_gb"},
		{"embedded", "api_key_file: /etc/mixtral-keys/keys", "insecure_bind: true", "API keys"},
		{"embedded", "serviceAccountName: mixtral", "serviceAccountName: default2", "no service account"},
		{"embedded", "mountPath: /data\n          name: data", "mountPath: /data\n          name: date",
			"no volume date"},
		{"embedded", "metrics_listen: 0.0.0.0:9464", "metrics_listen: 0.0.0.0:9465", "metrics_listen"},
		{"vllm", "containerPort: 9464", "containerPort: 9465", "metrics_listen"},
		{"embedded", "enableServiceLinks: false", "enableServiceLinks: true", "MIXTRAL_PORT"},
		{"embedded", "seconds: 10", "seconds: 1", "no preStop"},
		{"embedded", "terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 30", "grace period"},
		{"vllm", "number: 8000", "number: 8001", "nothing it selects has port 8001"},
		{"vllm", "failureMode: FailOpen", "failureMode: FailSoft", "FailSoft"},
		{"vllm", "targetPorts:", "targetPort:", "unknown field"},
		{"vllm", "endpointPickerRef:", "extensionRef:", "unknown field"},
		{"vllm", "number: 8000", "number: 80000", "80000"},
		{"vllm", "protocol: HTTP\n", "protocol: HTTP\n    port: 0\n", "port"},
		{"vllm+monitoring+keda", "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor",
			"apiVersion: monitoring.coreos.com/v2\nkind: PodMonitor", "no kind"},
		{"vllm+monitoring+keda", "expr: ", "exprs: ", "exprs"},
		{"vllm+monitoring+keda", "interval: 15s", "interval: 15 seconds", "15 seconds"},
		{"vllm", "number: 9002", "number: 9003", "no picker"},
		{"vllm", "- name: mixtral-gateway", "- name: gateway", "no gateway"},
		{"vllm", "kind: InferencePool\n      name: vllm-mixtral", "kind: InferencePool\n      name: vllm",
			"no pool vllm"},
		{"vllm", "backend: vllm", "backend: embedded", "upstream"},
		{"certify", "claimName: mixtral-reports", "claimName: reports", "no claim"},
		{"certify", "valueFrom:\n            secretKeyRef:\n              key: url\n              name: " +
			"mixtral-database", "value: postgres://u:p@h/d", "secret in the open"},
		{"vllm", "- port: metrics", "- port: metric", "no pod has the port"},
		{"vllm", "maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: vllm-mixtral",
			"maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: vllm", "selects nothing"},
		{"vllm", "topologyKey: kubernetes.io/hostname", "topologyKeys: kubernetes.io/hostname", "unknown field"},
		{"vllm+monitoring+keda", "name: vllm-mixtral\n  triggers", "name: vllm\n  triggers", "no StatefulSet vllm"},
		{"vllm+monitoring+keda", "minReplicaCount: 2", "minReplicaCount: 9", "from "},
		{"vllm+monitoring+keda", "- interval: 15s", "- every: 15s", "unknown field"},
		{"vllm+hpa", "maxReplicas: 8", "maxReplicas: 1", "from "},
		{"certify", "backoffLimit: 0", "backoffLimit: none", "unmarshal"},
	} {
		good := build(t, test.overlay)
		faulty := strings.Replace(good, test.old, test.new, 1)
		if faulty == good {
			t.Errorf("%s: %q does not stand there", test.overlay, test.old)
			continue
		}
		if got := strings.Join(inspect(faulty), "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s with %q: found %q, want %q", test.overlay, test.new, got, test.want)
		}
	}
}
