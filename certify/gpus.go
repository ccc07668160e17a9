package certify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// addGPUs replaces the case's GPU metrics URL and labels with the options'.
func (o *Options) addGPUs(c *testcases.Case) error {
	if o.GPUMetricsURL != "" {
		c.GPUMetrics = o.GPUMetricsURL
	}
	for _, m := range o.GPUMatch {
		k, v, ok := strings.Cut(m, "=")
		if !ok || k == "" {
			return fmt.Errorf("%w: label of accelerators %q: must be LABEL=VALUE, such as Hostname=node1",
				ErrOptions, m)
		}
		put(&c.GPUMatch, k, v)
	}
	if c.GPUMetrics != "" {
		if err := probe.CheckGPUs(c.GPUMetrics); err != nil {
			return fmt.Errorf("%w: metrics of accelerators: %w", ErrOptions, err)
		}
	}
	return nil
}

// gpusOf returns the reader of the accelerators that a case names, or nil if it names none.
func gpusOf(c *testcases.Case) *probe.GPUs {
	if c.GPUMetrics == "" {
		return nil
	}
	return probe.NewGPUs(c.GPUMetrics, c.GPUMatch)
}

// watchGPUs records the use of the server's accelerators.
func (o *observer) watchGPUs(ctx context.Context) {
	if o.gpus == nil {
		return
	}
	tick := time.NewTicker(probe.GPUInterval)
	defer tick.Stop()
	var failed time.Time
	for {
		g := o.gpus.Read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case g.Err == "":
			o.record.add(evidence.Event{GPU: &g})
		case time.Since(failed) >= time.Minute: // one failure each second would fill the record
			if failed.IsZero() {
				o.progress.note("accelerators: " + g.Err)
			}
			failed = time.Now()
			o.record.add(evidence.Event{GPU: &g})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
