// Package deploy reads the manifests and the unit of deploy/ as those do who will: kustomize builds the overlays, the
// types of Kubernetes, the Gateway API and its Inference Extension decode the result strictly, and what no type can
// say (that a probe's port exists, that a route's pool is there) is checked here.
package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
		if pool, ok := o.(*inferencev1.InferencePool); ok {
			if err := validatePool(doc); err != nil {
				problems = append(problems, fmt.Sprintf("InferencePool %s: %v", pool.Name, err))
			}
		}
		all = append(all, o)
	}
}

// validatePool holds a pool to the CRD's own schema, which knows more than the Go type: what is required, which words
// are allowed.
func validatePool(doc []byte) error {
	schema, err := poolSchema()
	if err != nil {
		return err
	}
	data, err := yaml.ToJSON(doc)
	if err != nil {
		return err
	}
	var instance any
	if err := json.Unmarshal(data, &instance); err != nil {
		return err
	}
	return schema.Validate(instance)
}

var poolSchema = sync.OnceValues(func() (*jsonschema.Resolved, error) {
	const module = "sigs.k8s.io/gateway-api-inference-extension"
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m %s: %w", module, err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "bases",
		"inference.networking.k8s.io_inferencepools.yaml"))
	if err != nil {
		return nil, err
	}
	var crd unstructured.Unstructured
	if err := yaml.Unmarshal(data, &crd.Object); err != nil {
		return nil, err
	}
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		version, ok := v.(map[string]any)
		if !ok || version["name"] != "v1" {
			continue
		}
		found, _, err := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(found)
		if err != nil {
			return nil, err
		}
		var s jsonschema.Schema
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, err
		}
		return s.Resolve(nil)
	}
	return nil, errors.New("the CRD has no version v1")
})
