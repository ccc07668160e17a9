//go:build js

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"runtime/debug"
	"strings"
	"syscall/js"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/internal/certify/verify"
)

// memoryLimit makes the garbage collector work harder before the 4 GiB of WebAssembly are full.
const memoryLimit = 3 << 30

// answer is the result for the page.
type answer struct {
	Result *verify.Result `json:"result,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// main judges the files that the worker put into mixtralInput, and passes the result to mixtralAnswer.
func main() {
	debug.SetMemoryLimit(memoryLimit)
	var a answer
	r, err := judge(js.Global().Get("mixtralInput"))
	if err != nil {
		a.Error = err.Error()
	} else {
		a.Result = r
	}
	data, err := json.Marshal(a)
	if err != nil {
		data = []byte(`{"error":"the result cannot be written"}`)
	}
	js.Global().Call("mixtralAnswer", string(data))
}

func judge(in js.Value) (*verify.Result, error) {
	wanted, err := signatories(in)
	if err != nil {
		return nil, err
	}
	record := &pieces{read: in.Get("piece"), size: in.Get("recordSize").Int()}
	return verify.Check(context.Background(), verify.Files{
		ReportName: in.Get("reportName").String(), Report: bytesOf(in.Get("report")),
		RecordName: in.Get("recordName").String(), Record: bufio.NewReaderSize(record, pieceSize),
		AttestationName: in.Get("attestationName").String(), Attestation: bytesOf(in.Get("attestation")),
	}, wanted)
}

// signatories reads the keys of a file and the keys that were typed in.
func signatories(in js.Value) ([]verify.Signatory, error) {
	var out []verify.Signatory
	if data := bytesOf(in.Get("keys")); data != nil {
		name := in.Get("keysName").String()
		keys, err := attest.ParseKeys(data, name)
		if err != nil {
			return nil, err
		}
		out = append(out, verify.Signatory{Name: name, Keys: keys})
	}
	if text := strings.TrimSpace(in.Get("key").String()); text != "" {
		keys, err := attest.ParseKeys([]byte(text), "")
		if err != nil {
			return nil, err
		}
		out = append(out, verify.Signatory{Name: "the text", Keys: keys})
	}
	return out, nil
}

// bytesOf copies a Uint8Array; nil for null.
func bytesOf(v js.Value) []byte {
	if v.IsNull() || v.IsUndefined() {
		return nil
	}
	data := make([]byte, v.Length())
	js.CopyBytesToGo(data, v)
	return data
}

// pieceSize is how much of the record is in the browser's and the program's memory at once.
const pieceSize = 4 << 20

// pieces reads a file of the browser.
type pieces struct {
	read     js.Value // function(from, to) → Uint8Array
	at, size int
}

func (p *pieces) Read(to []byte) (int, error) {
	if p.at >= p.size {
		return 0, io.EOF
	}
	end := min(p.at+min(len(to), pieceSize), p.size)
	n := js.CopyBytesToGo(to, p.read.Invoke(p.at, end))
	p.at += n
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}
