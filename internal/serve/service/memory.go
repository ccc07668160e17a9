package service

import (
	"errors"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// ErrMemory is matched when a model cannot be served within the memory limit; the message shows the arithmetic.
var ErrMemory = errors.New("memory limit too low")

// MemoryPlan says how the memory limit is divided, in bytes.
type MemoryPlan struct {
	Limit   int64  // what may be used in all
	Bound   string // what sets the limit: "memory_limit_gb", "the machine", "cgroup v2"
	Weights int64  // the model, packed
	KV      int64  // keys and values of running requests, and of prompts that may be sent again
	KVType  quant.KVType
	Reserve int64 // everything else: buffers of the computation, requests, the Go runtime
}

// memoryLimit returns the lowest of the limits that the configuration, the control group and the machine set.
func memoryLimit(configured int64, l host.Limits) (bytes int64, bound string) {
	if most, why := l.MemoryBound(); most > 0 && most < configured {
		return most, why
	}
	return configured, "memory_limit_gb"
}

// minContext is the shortest context, in tokens, that is worth suggesting.
const minContext = 256

// planMemory divides a limit. The KV cache gets as much as whole contexts of all running requests can use, as far as
// there is room; at least one whole context must fit.
func planMemory(limit int64, bound string, m moe.Info, kv quant.KVType, running, context int) (MemoryPlan, error) {
	f := engine.FootprintOf(m, kv, context)
	p := MemoryPlan{Limit: limit, Bound: bound, Weights: f.Weights, Reserve: f.Reserve, KVType: kv}
	room := f.Room(limit)
	if room < f.Context {
		err := fmt.Errorf("%w: %.2f GiB of weights + %.2f GiB of KV cache for one context of %d tokens + %.2f GiB "+
			"for everything else = %.2f GiB, but %s allows %.2f GiB", ErrMemory, toGiB(f.Weights), toGiB(f.Context),
			context, toGiB(f.Reserve), toGiB(f.Need(1)), bound, toGiB(limit))
		if n := f.Longest(limit); n >= minContext {
			err = fmt.Errorf("%w; a context_length of %d would fit", err, n)
		}
		if kv != quant.KVQ8 && room >= engine.FootprintOf(m, quant.KVQ8, context).Context {
			err = fmt.Errorf("%w; so would kv_type q8_0", err)
		}
		return p, err
	}
	p.KV = min(room, int64(running)*f.Context)
	return p, nil
}

func toGiB(bytes int64) float64 { return float64(bytes) / (1 << 30) }
