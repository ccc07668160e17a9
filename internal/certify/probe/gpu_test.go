package probe

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// dcgm has the format of DCGM's exporter: two cards, one of them partitioned, and a value that is not measured.
const dcgm = `# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H200",Hostname="node1"} 1024
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-b",device="nvidia1",modelName="NVIDIA H200",Hostname="node1"} 2048
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-b",device="nvidia1",modelName="NVIDIA H200",Hostname="node1",GPU_I_ID="3"} 999
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-c",device="nvidia0",modelName="NVIDIA H100",Hostname="node2"} 7
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H200",Hostname="node1"} 3072
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H200",Hostname="node1"} 85
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H200",Hostname="node1"} 612.5
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-b",device="nvidia1",modelName="NVIDIA H200",Hostname="node1"} -1
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H200",Hostname="node1"} 5e6
`

func TestReadsAccelerators(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/metrics":
			fmt.Fprint(w, dcgm)
		case r.URL.Path == "/other":
			fmt.Fprint(w, "# TYPE up gauge\nup 1\n")
		case strings.HasSuffix(r.URL.Path, "/api/v1/query"):
			q := r.URL.Query().Get("query")
			if !strings.Contains(q, "DCGM_FI_DEV_FB_USED") || !strings.Contains(q, `Hostname="node1"`) {
				t.Errorf("query %s", q)
			}
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":`+
				`"DCGM_FI_DEV_FB_USED","gpu":"0","Hostname":"node1","modelName":"NVIDIA H200"},"value":[1,"4096"]}]}}`)
		default:
			fmt.Fprint(w, "<!DOCTYPE html><title>Prometheus</title>")
		}
	}))
	defer s.Close()
	only := map[string]string{"Hostname": "node1"}
	got := NewGPUs(s.URL+"/metrics", only).Read(t.Context())
	if got.Err != "" || len(got.Cards) != 2 {
		t.Fatalf("%+v", got)
	}
	a, b := got.Cards[0], got.Cards[1]
	if a.ID != "node1/0" || a.Model != "NVIDIA H200" || *a.Memory != 1<<30 || *a.Total != 4<<30 || *a.Busy != 0.85 ||
		*a.Watts != 612.5 || *a.Joules != 5000 {
		t.Errorf("first card %+v", a)
	}
	if b.ID != "node1/1" || *b.Memory != 2<<30 || b.Watts != nil || b.Total != nil {
		t.Errorf("second card %+v", b)
	}
	if all := NewGPUs(s.URL+"/metrics", nil).Read(t.Context()); len(all.Cards) != 3 {
		t.Errorf("of all hosts: %+v", all.Cards)
	}
	g := NewGPUs(s.URL, only) // a Prometheus server
	for range 2 {
		if got := g.Read(t.Context()); got.Err != "" || len(got.Cards) != 1 || *got.Cards[0].Memory != 4<<30 {
			t.Errorf("from Prometheus: %+v", got)
		}
	}
	if got := NewGPUs(s.URL+"/other", nil).Read(t.Context()); !strings.Contains(got.Err, "DCGM_FI_DEV_FB_USED") {
		t.Errorf("without accelerators: %+v", got)
	}
	if got := NewGPUs("http://127.0.0.1:1/metrics", nil).Read(t.Context()); got.Err == "" {
		t.Error("nobody there")
	}
}
