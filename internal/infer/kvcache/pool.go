package kvcache

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Key names the content of a full block: the tokens in it and all tokens before it. Two blocks with one Key hold the
// same keys and values, because causal attention makes position i depend on tokens 0..i alone. SHA-256 makes a
// collision, which would leak one user's context into another's, a non-event rather than an improbable one.
type Key [sha256.Size]byte

// Extend gives the key of the block that holds tokens and follows the block (or, for the zero Key, the start) k.
// It allocates nothing for blocks of up to 64 tokens.
func (k Key) Extend(tokens []int32) Key {
	var buf [sha256.Size + 4*64]byte
	b := append(buf[:0], k[:]...)
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	return sha256.Sum256(b)
}

// Scope gives the key that stands before the first block of whoever shares blocks with nobody outside a scope. The
// empty scope has the zero Key.
func Scope(name string) Key {
	if name == "" {
		return Key{}
	}
	// No key that Extend hashes begins like this.
	return sha256.Sum256([]byte("scope of the prefix cache\x00" + name))
}

const none = int32(-1) // end of a list

// block is the bookkeeping of one KV block. It is in exactly one state:
// held (refs > 0), cached (refs == 0, keyed, in the LRU list) or free (refs == 0, unkeyed, in the free stack).
type block struct {
	refs       int32
	keyed      bool // in Pool.index under key
	key        Key
	prev, next int32 // LRU list, while cached
}

// Pool hands out the blocks of a paged KV cache (Kwon et al. 2023, PagedAttention), counts who holds them, and keeps
// the content of full blocks that nobody holds, until their room is needed, least recently used first. It knows
// block numbers only, never their bytes. It is not safe for concurrent use: the scheduler owns it.
type Pool struct {
	blocks []block
	free   []int32 // a stack, lowest number on top at first, so that a small load touches few pages
	index  map[Key]int32
	oldest int32 // LRU list: the next to be evicted
	newest int32
	cached int
	fresh  int32 // the lowest block that was never given; all above it were not either
}

// NewPool returns a pool of n free blocks.
func NewPool(n int) *Pool {
	p := &Pool{blocks: make([]block, n), free: make([]int32, n), index: make(map[Key]int32), oldest: none,
		newest: none}
	for i := range p.free {
		p.free[i] = int32(n - 1 - i)
	}
	return p
}

// Total is the number of blocks.
func (p *Pool) Total() int { return len(p.blocks) }

// Cached is the number of blocks nobody holds whose content is kept.
func (p *Pool) Cached() int { return p.cached }

// Available is the number of blocks Alloc can give: free ones and cached ones.
func (p *Pool) Available() int { return len(p.free) + p.cached }

// Held is the number of blocks with at least one holder.
func (p *Pool) Held() int { return len(p.blocks) - p.Available() }

// Touched is the number of blocks that were ever given. They are the ones with the lowest numbers: a block that was
// given before comes first.
func (p *Pool) Touched() int { return int(p.fresh) }

// Alloc gives a block with one holder and undefined content, evicting the least recently used cached block if none is
// free. ok is false if every block is held.
func (p *Pool) Alloc() (b int32, ok bool) {
	switch {
	case len(p.free) > 0:
		b = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
	case p.cached > 0:
		b = p.oldest
		p.unlink(b)
		delete(p.index, p.blocks[b].key)
		p.blocks[b].keyed = false
	default:
		return 0, false
	}
	p.blocks[b].refs = 1
	p.fresh = max(p.fresh, b+1)
	return b, true
}

// Lookup finds a block with this content and becomes one of its holders.
func (p *Pool) Lookup(k Key) (b int32, ok bool) {
	b, ok = p.index[k]
	if !ok {
		return 0, false
	}
	if p.blocks[b].refs == 0 {
		p.unlink(b)
	}
	p.blocks[b].refs++
	return b, true
}

// Has says whether a block with this content is there, and whether somebody holds it already.
func (p *Pool) Has(k Key) (ok, held bool) {
	b, ok := p.index[k]
	return ok, ok && p.blocks[b].refs > 0
}

// Publish declares that a held block is full and holds the content k, so that Lookup finds it. If another block
// already has that content the call changes nothing: the older one is likely to be shared already.
func (p *Pool) Publish(b int32, k Key) {
	bl := &p.blocks[b]
	if bl.refs == 0 {
		panic(fmt.Sprintf("kvcache: publish of block %d, which nobody holds", b))
	}
	if bl.keyed {
		if bl.key != k {
			panic(fmt.Sprintf("kvcache: block %d published twice with different content", b))
		}
		return
	}
	if _, taken := p.index[k]; taken {
		return
	}
	bl.keyed, bl.key = true, k
	p.index[k] = b
}

// Release gives up the caller's hold on blocks, a sequence's in order. The last ones become the first to be evicted:
// a block is of use only together with all blocks before it.
func (p *Pool) Release(blocks []int32) {
	for i := len(blocks) - 1; i >= 0; i-- {
		b := blocks[i]
		bl := &p.blocks[b]
		if bl.refs <= 0 {
			panic(fmt.Sprintf("kvcache: release of block %d, which nobody holds", b))
		}
		bl.refs--
		switch {
		case bl.refs > 0:
		case bl.keyed:
			p.link(b)
		default:
			p.free = append(p.free, b)
		}
	}
}

// link puts a block at the newest end of the LRU list.
func (p *Pool) link(b int32) {
	bl := &p.blocks[b]
	bl.prev, bl.next = p.newest, none
	if p.newest == none {
		p.oldest = b
	} else {
		p.blocks[p.newest].next = b
	}
	p.newest = b
	p.cached++
}

func (p *Pool) unlink(b int32) {
	bl := &p.blocks[b]
	if bl.prev == none {
		p.oldest = bl.next
	} else {
		p.blocks[bl.prev].next = bl.next
	}
	if bl.next == none {
		p.newest = bl.prev
	} else {
		p.blocks[bl.next].prev = bl.prev
	}
	p.cached--
}

// Check verifies the pool's own books against each other and against its holders: every sequence's block list. It
// returns the first contradiction. It costs O(blocks) and is meant for tests and programs linked to check the
// invariants.
func (p *Pool) Check(holders ...[]int32) error {
	want := make([]int32, len(p.blocks))
	for _, h := range holders {
		for _, b := range h {
			want[b]++
		}
	}
	state := make([]string, len(p.blocks))
	for _, b := range p.free {
		if state[b] != "" {
			return fmt.Errorf("block %d is in the free stack twice", b)
		}
		state[b] = "free"
	}
	for b := int(p.fresh); b < len(p.blocks); b++ {
		if at := len(p.blocks) - 1 - b; at >= len(p.free) || p.free[at] != int32(b) {
			return fmt.Errorf("block %d was never given, and is not in its place at the bottom of the free stack", b)
		}
	}
	n, last := 0, none
	for b := p.oldest; b != none; b = p.blocks[b].next {
		if state[b] != "" {
			return fmt.Errorf("block %d is cached and %s", b, state[b])
		}
		if p.blocks[b].prev != last {
			return fmt.Errorf("block %d: broken LRU link", b)
		}
		state[b], last = "cached", b
		n++
	}
	if n != p.cached || p.newest != last {
		return fmt.Errorf("LRU list has %d blocks, counted %d", n, p.cached)
	}
	keyed := 0
	for i := range p.blocks {
		b, bl := int32(i), &p.blocks[i]
		if bl.refs != want[i] {
			return fmt.Errorf("block %d has %d holders, counted %d", b, want[i], bl.refs)
		}
		if (bl.refs > 0) != (state[i] == "") {
			return fmt.Errorf("block %d has %d holders and is %q", b, bl.refs, state[i])
		}
		if bl.refs == 0 && bl.keyed != (state[i] == "cached") {
			return fmt.Errorf("block %d: keyed %v and %s", b, bl.keyed, state[i])
		}
		if bl.keyed {
			keyed++
			if at, ok := p.index[bl.key]; !ok || at != b {
				return fmt.Errorf("block %d is not found under its key", b)
			}
		}
	}
	if keyed != len(p.index) {
		return fmt.Errorf("%d keyed blocks, %d in the index", keyed, len(p.index))
	}
	return nil
}
