// Package deploy reads the manifests and the unit of deploy/ as those do who will: kustomize builds the overlays, the
// types of Kubernetes, the Gateway API and its Inference Extension decode the result strictly, and what no type can
// say (that a probe's port exists, that a route's pool is there) is checked here.
package deploy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	inferencev1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

var overlays = []string{"embedded", "vllm", "vllm-one-gpu", "vllm-plain", "vllm-plain-one-gpu", "certify"}

const root = "../../deploy/kubernetes"

// build gives an overlay's manifests, with the components that are named behind it, as kustomize makes them:
// "vllm+keda".
func build(t *testing.T, overlay string) string {
	t.Helper()
	names := strings.Split(overlay, "+")
	dir := filepath.Join(root, "overlays", names[0])
	fs := filesys.MakeFsOnDisk()
	if len(names) > 1 {
		fs = filesys.MakeFsInMemory()
		if err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			return errors.Join(err, fs.WriteFile(inMemory(path), data))
		}); err != nil {
			t.Fatal(err)
		}
		dir = "/overlays/tested"
		text := "resources: [../" + names[0] + "]\ncomponents: [../../components/" +
			strings.Join(names[1:], ", ../../components/") + "]\n"
		if err := fs.WriteFile(dir+"/kustomization.yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	if err != nil {
		t.Fatalf("%s: %v", overlay, err)
	}
	data, err := m.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// inMemory gives a file's path in a tree of which deploy/kubernetes is the root.
func inMemory(path string) string { return "/" + strings.TrimPrefix(filepath.ToSlash(path), root+"/") }

// strict decodes what these APIs have, and nothing else.
var strict = sync.OnceValue(func() runtime.Serializer {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme,
		rbacv1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme, autoscalingv2.AddToScheme,
		monitoringv1.AddToScheme, addKEDA, inferencev1.Install, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory, scheme, scheme,
		serializer.SerializerOptions{Yaml: true, Strict: true})
})

// decode reads all documents, each into its own type.
func decode(manifests string) (all []runtime.Object, problems []string) {
	for docs := yaml.NewYAMLReader(bufioReader(manifests)); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return all, problems
		}
		if err != nil {
			return all, append(problems, err.Error())
		}
		o, _, err := strict().Decode(doc, nil, nil)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if err := validateCustom(doc); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", o.GetObjectKind().GroupVersionKind().Kind, err))
		}
		all = append(all, o)
	}
}
