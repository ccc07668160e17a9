package deploy

import (
	"os"
	"reflect"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
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

// TestGeneratorsThatListPods: the account of the Job that certifies may list the pods of the namespace that it reads
// metrics in, and nothing else.
func TestGeneratorsThatListPods(t *testing.T) {
	data, err := os.ReadFile("../../cmd/mixtral/testdata/generators_pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range inspect(string(data)) {
		t.Error(p)
	}
	o := &overlay{}
	o.objects, o.problems = decode(string(data))
	certify, ok := has[*batchv1.Job](o, "mixtral-certify-load")
	if !ok {
		t.Fatal("the Job is missing")
	}
	account := certify.Spec.Template.Spec.ServiceAccountName
	_, isAccount := has[*corev1.ServiceAccount](o, account)
	role, isRole := has[*rbacv1.Role](o, account)
	binding, isBinding := has[*rbacv1.RoleBinding](o, account)
	if !isAccount || !isRole || !isBinding || certify.Spec.Template.Spec.AutomountServiceAccountToken != nil {
		t.Fatalf("account %q: %t, role %t, binding %t", account, isAccount, isRole, isBinding)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}}
	if !reflect.DeepEqual(role.Rules, want) || role.Namespace != "llm" || binding.Namespace != "llm" ||
		binding.RoleRef.Name != role.Name || len(binding.Subjects) != 1 || binding.Subjects[0].Name != account ||
		binding.Subjects[0].Namespace != certify.Namespace {
		t.Errorf("%+v\n%+v", role, binding)
	}
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
