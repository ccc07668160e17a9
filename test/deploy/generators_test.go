package deploy

import (
	"os"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// generatorManifests are those that the command prints, as its own test holds them.
func generatorManifests(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../cmd/mixtral/testdata/generators.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestGenerators: what `mixtral certify --generators N` prints is what Kubernetes takes, and its parts
// find each other: the pods of the Indexed Job have the names that the certification is told.
func TestGenerators(t *testing.T) {
	data := generatorManifests(t)
	for _, p := range inspect(data) {
		t.Error(p)
	}
	o := &overlay{}
	o.objects, o.problems = decode(data)
	load, ok := has[*batchv1.Job](o, "mixtral-generators")
	certify, also := has[*batchv1.Job](o, "mixtral-certify-load")
	if !ok || !also {
		t.Fatal("the Jobs are missing")
	}
	s := load.Spec
	if *s.CompletionMode != batchv1.IndexedCompletion || *s.Completions != 3 || *s.Parallelism != 3 ||
		*s.BackoffLimit != 0 {
		t.Errorf("%+v", s)
	}
	domain := s.Template.Spec.Subdomain
	service, ok := has[*corev1.Service](o, domain)
	if !ok || service.Spec.ClusterIP != corev1.ClusterIPNone || !service.Spec.PublishNotReadyAddresses {
		t.Errorf("the pods have no names: subdomain %q, %+v", domain, service)
	}
	args := strings.Join(certify.Spec.Template.Spec.Containers[0].Args, " ")
	for _, want := range []string{"mixtral-generators-0." + domain + ":11410,", "mixtral-generators-2." + domain +
		":11410 ",
		"--api-key-file /etc/mixtral-generators/api-key", "certify /etc/mixtral-case/case.yaml"} {
		if !strings.Contains(args, want) {
			t.Errorf("%q is not in %s", want, args)
		}
	}
	if secret, ok := has[*corev1.Secret](o, "mixtral-generators"); !ok || secret.StringData["key"] == "" ||
		secret.StringData["api-key"] != "s3cret" {
		t.Errorf("%+v", secret)
	}
}
