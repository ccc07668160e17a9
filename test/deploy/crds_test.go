package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// definition is where a kind that is not Kubernetes' own is defined (a CustomResourceDefinition): a file of a module.
// The modules of crds/ are there for these files alone.
type definition struct{ pinned, module, file string }

var (
	gateways  = definition{".", "sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_"}
	inference = definition{".", "sigs.k8s.io/gateway-api-inference-extension", "config/crd/bases/"}
	keda      = definition{"crds", "github.com/kedacore/keda/v2", "config/crd/bases/"}
	operator  = definition{"crds", "github.com/prometheus-operator/prometheus-operator",
		"example/prometheus-operator-crd/monitoring.coreos.com_"}
)

func (d definition) of(file string) definition { return definition{d.pinned, d.module, d.file + file} }

var definitions = map[string]definition{
	"Gateway":        gateways.of("gateways.yaml"),
	"HTTPRoute":      gateways.of("httproutes.yaml"),
	"InferencePool":  inference.of("inference.networking.k8s.io_inferencepools.yaml"),
	"PodMonitor":     operator.of("podmonitors.yaml"),
	"PrometheusRule": operator.of("prometheusrules.yaml"),
	"ScaledObject":   keda.of("keda.sh_scaledobjects.yaml"),
}

// read gives the definition's text.
func (d definition) read() ([]byte, error) {
	for _, args := range [][]string{{"mod", "download", d.module}, {"list", "-m", "-f", "{{.Dir}}", d.module}} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = d.pinned, append(os.Environ(), "GOWORK=off") // a module that test/go.work does not name
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go %q: %w", args, err)
		}
		if args[0] == "list" {
			return os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(d.file)))
		}
	}
	return nil, nil
}

// schemas are those of each version of each kind, as "GROUP/VERSION KIND", read once.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Resolved, error) {
	all := map[string]*jsonschema.Resolved{}
	for kind, d := range definitions {
		data, err := d.read()
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
		group, _, err := unstructured.NestedString(crd.Object, "spec", "group")
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			version, ok := v.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s: versions: %v", d.file, v)
			}
			schema, err := schemaOf(version)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", d.file, err)
			}
			all[fmt.Sprintf("%s/%s %s", group, version["name"], kind)] = schema
		}
	}
	return all, nil
})

func schemaOf(version map[string]any) (*jsonschema.Resolved, error) {
	found, ok, err := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
	if err != nil || !ok {
		return nil, errors.Join(errors.New("a version without a schema"), err)
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

// validateCustom holds an object to the schema of its kind, which knows more than a Go type: what is required, which
// words and numbers are allowed. Objects of Kubernetes' own kinds pass.
func validateCustom(doc []byte) error {
	data, err := yaml.ToJSON(doc)
	if err != nil {
		return err
	}
	var instance map[string]any
	if err := json.Unmarshal(data, &instance); err != nil {
		return err
	}
	kind, _ := instance["kind"].(string)
	if _, custom := definitions[kind]; !custom {
		return nil
	}
	all, err := schemas()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s %s", instance["apiVersion"], kind)
	schema := all[name]
	if schema == nil {
		return fmt.Errorf("%s is not defined", name)
	}
	return schema.Validate(instance)
}
