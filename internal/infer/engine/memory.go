package engine

import (
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// ReserveBytes is kept for everything but weights and KV cache. Measured under load from 12 clients, beside weights
// and the KV cache in use: 25 MB with the tiny synthetic model, below 0.1 GB with one of 1.15 billion weights (dim
// 1024); 150 MB where half of the clients send bodies as large as are allowed. The buffers of a step grow with the
// model's width, four times that for Mixtral-8x7B.
const ReserveBytes = 384 << 20

// Footprint is the memory that serving a model takes, in bytes. It is what the service plans with, what model inspect
// shows and what the engine holds its KV cache to.
type Footprint struct {
	Weights int64 // packed
	Context int64 // keys and values of one whole context
	Reserve int64 // everything else: buffers of the computation, requests, the Go runtime

	block int64 // keys and values of one block
}

// FootprintOf counts for a context of so many tokens.
func FootprintOf(m moe.Info, kv quant.KVType, context int) Footprint {
	block := m.KVBytes(kv, kernel.BlockTokens)
	return Footprint{Weights: m.Packed, Context: int64(kernel.Blocks(context)) * block, Reserve: ReserveBytes,
		block: block}
}

// Need is what a number of whole contexts at once takes in all.
func (f Footprint) Need(contexts int) int64 { return f.Weights + int64(contexts)*f.Context + f.Reserve }

// Room is what a limit leaves for keys and values. It is negative where weights and reserve alone exceed the limit.
func (f Footprint) Room(limit int64) int64 { return limit - f.Weights - f.Reserve }

// Longest is the longest context, in tokens, that a limit has room for; 0 if there is none.
func (f Footprint) Longest(limit int64) int {
	return int(max(f.Room(limit), 0) / f.block * kernel.BlockTokens)
}

// TokenBytes is what the keys and values of one token take.
func (f Footprint) TokenBytes() int64 { return f.block / kernel.BlockTokens }
