package loadgen

import (
	"runtime"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// BenchmarkClient measures the client's own error as every certification does. Errors are in milliseconds.
func BenchmarkClient(b *testing.B) {
	for _, c := range []struct {
		name string
		o    MeasureOptions
	}{
		{"1000rps", MeasureOptions{RPS: 1000, Tokens: 1, TTFT: 5 * time.Millisecond, Duration: 4 * time.Second}},
		{"10streams", MeasureOptions{Streams: 10, Tokens: 64, TokenInterval: 20 * time.Millisecond,
			TTFT: 200 * time.Millisecond, Duration: 4 * time.Second}},
		{"100streams", MeasureOptions{Streams: 100, Tokens: 64, TokenInterval: 20 * time.Millisecond,
			TTFT: 200 * time.Millisecond, Duration: 4 * time.Second}},
		{"1000streams100ms", MeasureOptions{Streams: 1000, Tokens: 64, TokenInterval: 100 * time.Millisecond,
			TTFT: 200 * time.Millisecond, Duration: 4 * time.Second}},
		{"1000streams20ms", MeasureOptions{Streams: 1000, Tokens: 64, TokenInterval: 20 * time.Millisecond,
			TTFT: 200 * time.Millisecond, Duration: 4 * time.Second}},
		{"2000streams50ms", MeasureOptions{Streams: 2000, Tokens: 64, TokenInterval: 50 * time.Millisecond,
			TTFT: 200 * time.Millisecond, Duration: 4 * time.Second}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var worst evidence.Client
			for b.Loop() {
				got, err := MeasureClient(b.Context(), c.o)
				if err != nil {
					b.Fatal(err)
				}
				worst = got
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			ms := func(ns int64) float64 { return float64(ns) / 1e6 }
			b.ReportMetric(ms(worst.IssueP50), "issue-p50-ms")
			b.ReportMetric(ms(worst.IssueP99), "issue-p99-ms")
			b.ReportMetric(ms(worst.TTFTErrorP50), "ttft-p50-ms")
			b.ReportMetric(ms(worst.TTFTErrorP99), "ttft-p99-ms")
			b.ReportMetric(ms(worst.GapErrorP50), "gap-p50-ms")
			b.ReportMetric(ms(worst.GapErrorP99), "gap-p99-ms")
			b.ReportMetric(float64(m.Sys)/(1<<20), "sys-MB")
		})
	}
}
