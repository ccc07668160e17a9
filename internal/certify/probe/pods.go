package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// podsPrefix before a metrics URL asks Kubernetes for pods: "pods+http://NAMESPACE:8000/metrics?selector=app=vllm"
// stands for each pod of the namespace whose labels match the selector. The default namespace is that of this pod. If
// there are several selectors, all must match.
const podsPrefix = "pods+"

const (
	podsEvery    = 5 * time.Second // time between two requests to the API server
	podsPage     = 250
	mostPods     = 1000     // pods of a fleet
	mostPodsText = 16 << 20 // bytes of a page; a pod has about 10 kB
)

// podsTimeout is the time limit of one request to the API server. Tests have more patience.
var podsTimeout = 5 * time.Second

// ErrKubernetes matches errors that say that pods cannot be listed.
var ErrKubernetes = errors.New("pods cannot be listed")

// podsURL parses such a URL: the namespace and selector for the API server, and the URL that is read from each pod.
func podsURL(raw string) (namespace, selector string, each *url.URL, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", nil, err
	}
	query := u.Query()
	if len(query["selector"]) == 0 || query.Get("selector") == "" {
		return "", "", nil, errors.New("a selector is missing: must be " +
			"pods+http://NAMESPACE:PORT/metrics?selector=LABEL=VALUE")
	}
	namespace, selector = u.Hostname(), strings.Join(query["selector"], ",")
	query.Del("selector")
	u.RawQuery = query.Encode()
	return namespace, selector, u, nil
}

// PodNamespaces lists the namespaces of the pods for which metrics URLs stand; "" is the namespace of this pod. Its
// errors are those of ParseMetricsURLs.
func PodNamespaces(metrics string) (list []string, err error) {
	if metrics == "" {
		return nil, nil
	}
	urls, err := ParseMetricsURLs(metrics)
	if err != nil {
		return nil, err
	}
	for _, item := range urls {
		if raw, ok := strings.CutPrefix(item, podsPrefix); ok {
			namespace, _, _, err := podsURL(raw)
			if err != nil {
				return nil, err
			}
			list = append(list, namespace)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// kubernetes sends requests to the API server of the cluster in which this process runs, with the token of the pod's
// service account. It uses plain REST, because it only needs one list.
type kubernetes struct {
	base   string // https://HOST:PORT
	dir    string // directory of the service account's files; its token is renewed every hour
	client *http.Client
}

// accountDir is the directory in which Kubernetes puts the files of a pod's service account.
const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// inCluster finds the API server by the environment that Kubernetes sets in a pod. Its errors match ErrKubernetes.
func inCluster(getenv func(string) string, dir string) (*kubernetes, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, fmt.Errorf("%w: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: pods+ works in "+
			"a pod of the cluster only", ErrKubernetes)
	}
	pem, err := bounded.File(filepath.Join(dir, "ca.crt"), 1<<20)
	if err != nil {
		return nil, fmt.Errorf("%w: the pod has no service account: %w", ErrKubernetes, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: %s holds no PEM certificate", ErrKubernetes, filepath.Join(dir, "ca.crt"))
	}
	return &kubernetes{base: "https://" + net.JoinHostPort(host, port), dir: dir, client: &http.Client{
		Timeout:       podsTimeout,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConns: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// pod has the fields of a pod that are used.
type pod struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Status struct {
		Phase      string `json:"phase"`
		IP         string `json:"podIP"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// ready says whether a pod accepts requests.
func (p *pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// pods lists the matching pods that are running and have an address.
func (k *kubernetes) pods(ctx context.Context, namespace, selector string) (list []pod, err error) {
	if namespace == "" {
		own, err := bounded.File(filepath.Join(k.dir, "namespace"), 4<<10)
		if err != nil {
			return nil, fmt.Errorf("%w: no namespace is given: %w", ErrKubernetes, err)
		}
		namespace = strings.TrimSpace(string(own))
	}
	query := url.Values{"labelSelector": {selector}, "limit": {fmt.Sprint(podsPage)}}
	for more := true; more; more = query.Get("continue") != "" {
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []pod `json:"items"`
		}
		at := k.base + "/api/v1/namespaces/" + url.PathEscape(namespace) + "/pods?" + query.Encode()
		if err := k.get(ctx, at, namespace, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Items {
			if p.Status.Phase == "Running" && net.ParseIP(p.Status.IP) != nil {
				list = append(list, p)
			}
		}
		if len(list) > mostPods || len(page.Items) == 0 && page.Metadata.Continue != "" {
			return nil, fmt.Errorf("%w: more than %d pods keep to the selector %q", ErrKubernetes, mostPods, selector)
		}
		query.Set("continue", page.Metadata.Continue)
	}
	return list, nil
}

// get reads one page of a list into a value.
func (k *kubernetes) get(ctx context.Context, address, namespace string, into any) error {
	token, err := bounded.File(filepath.Join(k.dir, "token"), 64<<10)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKubernetes, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKubernetes, err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Accept", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKubernetes, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostPodsText+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrKubernetes, err)
	case len(body) > mostPodsText:
		return fmt.Errorf("%w: more than %d MiB of a page", ErrKubernetes, mostPodsText>>20)
	case resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: the service account must be allowed to list pods in the namespace %q: %s",
			ErrKubernetes, namespace, bounded.Short(string(body), 300))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: the API server answers %s: %s", ErrKubernetes, resp.Status,
			bounded.Short(string(body), 300))
	}
	if err := bounded.JSON(body, 1<<20, 64); err != nil {
		return fmt.Errorf("%w: %w", ErrKubernetes, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", ErrKubernetes, err)
	}
	return nil
}

// podLister keeps the last list from Kubernetes. It asks again every podsEvery. If Kubernetes does not answer for a
// while, the last list stays valid.
type podLister struct {
	api  *kubernetes // nil until the first request
	asks func() (*kubernetes, error)
	list map[string][]pod // by URL
	at   map[string]time.Time

	failing bool              // the last question failed
	note    func(text string) // is told what the user should know; nil: nobody is told
}

func newPodLister() *podLister {
	return &podLister{asks: func() (*kubernetes, error) { return inCluster(os.Getenv, accountDir) },
		list: map[string][]pod{}, at: map[string]time.Time{}}
}

// addresses returns the metrics URL of each pod by the pod's name. A pod belongs to the fleet from the first time that
// it is ready; seen says whether it has been.
func (l *podLister) addresses(ctx context.Context, now time.Time, raw string, seen func(name string) bool) (
	map[string]string, error) {
	namespace, selector, each, err := podsURL(raw)
	if err != nil {
		return nil, err
	}
	if l.api == nil {
		if l.api, err = l.asks(); err != nil {
			return nil, err
		}
	}
	if last, ok := l.at[raw]; !ok || now.Sub(last) >= podsEvery {
		list, err := l.api.pods(ctx, namespace, selector)
		if err != nil && l.list[raw] == nil {
			return nil, err
		}
		if err == nil {
			l.list[raw] = list
		} else if !l.failing && l.note != nil && ctx.Err() == nil {
			l.note(fmt.Sprintf("pods cannot be listed; the last known ones are used: %v", err))
		}
		l.failing = err != nil
		l.at[raw] = now
	}
	out := map[string]string{}
	for _, p := range l.list[raw] {
		name := p.Metadata.Name
		if namespace != "" {
			name = namespace + "/" + name
		}
		if !p.ready() && !seen(name) {
			continue
		}
		at := *each
		if at.Host = p.Status.IP; strings.Contains(at.Host, ":") {
			at.Host = "[" + at.Host + "]"
		}
		if port := each.Port(); port != "" {
			at.Host = net.JoinHostPort(p.Status.IP, port)
		}
		out[name] = at.String()
	}
	return out, nil
}
