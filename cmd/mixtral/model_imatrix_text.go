package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/calibrate"
)

// specialEncoder encodes text in which control pieces are written by name. The text after one is encoded as the start
// of a text, as chat templates do it.
func specialEncoder(f *gguf.File, tok *token.Tokenizer) (func(text string, addBOS bool) []int32, error) {
	spec, err := moe.TokenSpec(f)
	if err != nil {
		return nil, err
	}
	ids, names := map[string]int32{}, []string{}
	for id, piece := range spec.Pieces {
		if spec.Types[id] == token.TypeControl && piece != "" {
			ids[piece] = int32(id)
			names = append(names, regexp.QuoteMeta(piece))
		}
	}
	if len(names) == 0 {
		return tok.Encode, nil
	}
	// The longest of several matches counts.
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	control := regexp.MustCompile(strings.Join(names, "|"))
	return func(text string, addBOS bool) []int32 {
		tokens := tok.Encode("", addBOS)
		for len(text) > 0 {
			at := control.FindStringIndex(text)
			if at == nil {
				return append(tokens, tok.Encode(text, false)...)
			}
			tokens = append(tokens, tok.Encode(text[:at[0]], false)...)
			tokens = append(tokens, ids[text[at[0]:at[1]]])
			text = text[at[1]:]
		}
		return tokens
	}, nil
}

// imatrixProgress shows how far the model has read, and the perplexity so far: a user who knows the model's perplexity
// sees at once if something is wrong.
type imatrixProgress struct {
	w           io.Writer
	terminal    bool
	total, from int // chunks
	start, next time.Time
	shown       bool
}

// show replaces the line before on a terminal, and elsewhere prints a new line every few seconds.
func (p *imatrixProgress) show(done int, loss calibrate.Loss) {
	now := time.Now()
	if !p.terminal && now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	perplexity, _ := loss.Perplexity()
	each := now.Sub(p.start) / time.Duration(done-p.from)
	left := each * time.Duration(p.total-done)
	line := fmt.Sprintf("imatrix: chunk %d of %d, perplexity %.4f, %.2f s each, %v left", done, p.total, perplexity,
		each.Seconds(), left.Round(time.Second))
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprintf(raw(p.w), "\r\x1b[K%s", visible(line))
	p.shown = true
}

// stop ends the line. A second stop does nothing.
func (p *imatrixProgress) stop() {
	if p.shown {
		fmt.Fprintln(p.w)
		p.shown = false
	}
}
