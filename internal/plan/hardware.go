package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// ErrHardware is matched by errors about accelerators; the message names what is allowed.
var ErrHardware = errors.New("unusable hardware")

// Accelerator has the values of a maker's data sheet for one device. Rates count 10⁹ as G and 10¹² as T; operations
// are those of dense products.
type Accelerator struct {
	Name     string
	MemoryGB float64 // 10⁹ bytes
	GBs      float64 // memory bandwidth
	TFLOPS16 float64 // bfloat16
	TFLOPS8  float64 // FP8; 0: not supported
	LinkGBs  float64 // to the other devices of a replica, both directions together
	Watts    float64 // maximum of the board
}

// accelerators has the names of the command line. The sources are the makers' data sheets.
var accelerators = map[string]Accelerator{
	"a100-80gb":   {"NVIDIA A100 SXM 80 GB", 80, 2039, 312, 0, 600, 400},
	"l40s":        {"NVIDIA L40S", 48, 864, 362, 733, 64, 350},
	"h100":        {"NVIDIA H100 SXM", 80, 3350, 989, 1979, 900, 700},
	"h200":        {"NVIDIA H200 SXM", 141, 4800, 989, 1979, 900, 700},
	"gh200-144gb": {"NVIDIA GH200 144 GB", 144, 4900, 989, 1979, 900, 1000},
	"b200":        {"NVIDIA B200", 180, 8000, 2250, 4500, 1800, 1000},
	"mi300x":      {"AMD Instinct MI300X", 192, 5300, 1307, 2615, 896, 750},
}

// Accelerators lists the names that Hardware knows.
func Accelerators() []string { return slices.Sorted(maps.Keys(accelerators)) }

// Shape has the properties of a Mixtral model that its cost depends on (Jiang et al. 2024, table 1).
type Shape struct {
	Layers, Dim, FFN, Heads, KVHeads, HeadDim, Experts, Used, Vocab int
}

// Mixtral8x7B is the shape of Mixtral-8x7B, and Mixtral8x22B that of the larger model.
var (
	Mixtral8x7B  = Shape{32, 4096, 14336, 32, 8, 128, 8, 2, 32000}
	Mixtral8x22B = Shape{56, 6144, 16384, 48, 8, 128, 8, 2, 32768}
)

// attention and expert are the numbers of weights of one layer's attention and of one expert; head is that of the
// logits.
func (s Shape) attention() float64 { return float64(2 * s.Dim * s.HeadDim * (s.Heads + s.KVHeads)) }
func (s Shape) expert() float64    { return float64(3 * s.Dim * s.FFN) }
func (s Shape) head() float64      { return float64(s.Dim * s.Vocab) }

// Weights is the number of weights.
func (s Shape) Weights() float64 {
	return float64(s.Layers)*(s.attention()+float64(s.Experts)*s.expert()) + 2*s.head()
}

// touched returns how many experts of a layer n tokens choose on average, if all experts are equally likely.
func (s Shape) touched(n int) float64 {
	return float64(s.Experts) * (1 - math.Pow(1-float64(s.Used)/float64(s.Experts), float64(n)))
}

// Assumptions that no data sheet contains. They are the same for all accelerators, and none was fitted to a result.
const (
	readShare    = 0.8    // of the bandwidth that reading weights reaches
	computeShare = 0.5    // of the operations that grouped products of experts reach
	linkLatency  = 10e-6  // seconds of an all-reduce besides the transfer of its bytes
	stepOverhead = 2e-3   // seconds per step: scheduling, launching kernels, sampling
	callOverhead = 5e-3   // seconds per request: HTTP, tokenising
	memoryShare  = 0.9    // of the memory that weights and KV cache may use
	chunkTokens  = 2048   // maximum prompt tokens in a step
	mostRunning  = 1024   // maximum sequences together
	mostContext  = 32_768 // maximum tokens of a sequence
)

// ServerBlockTokens is the number of positions in a KV block of vLLM by default. It stands for servers that say
// nothing about theirs.
const ServerBlockTokens = 16

// Hardware is a replica on accelerators, by the roofline model: a step takes as long as its reading or its products,
// whichever is longer.
type Hardware struct {
	Device      Accelerator
	Count       int // devices of a replica, tensor parallel
	Shape       Shape
	WeightBytes float64 // per weight: 2 is bfloat16, 1 FP8
	KVBytes     float64 // per number in the KV cache
}

// NewHardware returns a replica on count accelerators of one type, with 8-bit or 16-bit weights.
func NewHardware(name string, count int, shape Shape, weightBits int) (*Hardware, error) {
	d, ok := accelerators[strings.ToLower(name)]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: unknown accelerator %q; known accelerators: %s", ErrHardware, name,
			strings.Join(Accelerators(), ", "))
	case count < 1 || count > 64:
		return nil, fmt.Errorf("%w: a replica must have 1 to 64 accelerators, got %d", ErrHardware, count)
	case weightBits != 8 && weightBits != 16:
		return nil, fmt.Errorf("%w: weights of %d bits, want 8 or 16", ErrHardware, weightBits)
	case weightBits == 8 && d.TFLOPS8 == 0:
		return nil, fmt.Errorf("%w: %s has no FP8 products; want weights of 16 bits", ErrHardware, d.Name)
	}
	h := &Hardware{Device: d, Count: count, Shape: shape, WeightBytes: float64(weightBits) / 8, KVBytes: 2}
	if weightBits == 8 {
		h.KVBytes = 1
	}
	if h.blocks() < 1 {
		return nil, fmt.Errorf("%w: %.1f GB of weights do not fit %d × %.0f GB with a KV cache beside them",
			ErrHardware,
			shape.Weights()*h.WeightBytes/1e9, count, d.MemoryGB)
	}
	return h, nil
}

// positionBytes is the size of a position in the KV cache.
func (h *Hardware) positionBytes() float64 {
	return float64(2*h.Shape.Layers*h.Shape.KVHeads*h.Shape.HeadDim) * h.KVBytes
}

func (h *Hardware) blocks() int {
	room := memoryShare*h.Device.MemoryGB*1e9*float64(h.Count) - h.Shape.Weights()*h.WeightBytes
	return int(room / (h.positionBytes() * ServerBlockTokens))
}

// Step implements Cost.
func (h *Hardware) Step(s Step) (float64, Bound) {
	sh, n, count := h.Shape, float64(s.Tokens()), float64(h.Count)
	layers := float64(sh.Layers)
	bytes := h.WeightBytes*(layers*(sh.attention()+sh.touched(s.Tokens())*sh.expert())+sh.head()) +
		h.positionBytes()*float64(s.Context)
	products := 2*n*layers*(sh.attention()+float64(sh.Used)*sh.expert()) + 2*float64(s.Rows)*sh.head()
	attention := 4 * layers * float64(sh.Heads*sh.HeadDim) * float64(s.Context+s.PromptContext)
	peak := h.Device.TFLOPS16
	if h.WeightBytes == 1 {
		peak = h.Device.TFLOPS8
	}
	read := bytes / (readShare * h.Device.GBs * 1e9 * count)
	compute := (products/peak + attention/h.Device.TFLOPS16) / (computeShare * 1e12 * count)
	links := 0.0
	if h.Count > 1 { // two all-reduces of the residual stream per layer, in a ring
		moved := 2 * (count - 1) / count * n * float64(sh.Dim) * 2
		links = 2 * layers * (moved/(h.Device.LinkGBs/2*1e9) + linkLatency)
	}
	bound := Bandwidth
	switch {
	case links > max(read, compute):
		bound = Links
	case compute > read:
		bound = Compute
	}
	return max(read, compute) + links + stepOverhead, bound
}

// Request implements Cost.
func (h *Hardware) Request() float64 { return callOverhead }

// Replica returns the settings of a replica's scheduler.
func (h *Hardware) Replica() Replica {
	return Replica{Cost: h, MaxRunning: mostRunning, MaxWaiting: 1 << 20, Chunk: chunkTokens, Context: mostContext,
		BlockTokens: ServerBlockTokens, Blocks: h.blocks(), BlockBytes: int64(h.positionBytes() * ServerBlockTokens)}
}
