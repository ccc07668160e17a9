package verifypage

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"os"

	"github.com/hxp-enterprise/mixtral/internal/web/look"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
	//go:embed worker.js
	workerJS string
)

// policy is the page's Content-Security-Policy, with the hashes of its style and its script. Nothing can be fetched,
// posted or framed: files that are dropped onto the page stay in the browser. The worker is made from the page's own
// text.
const policy = "default-src 'none'; connect-src 'none'; script-src '%s' 'wasm-unsafe-eval'; style-src '%s'; " +
	"worker-src blob:; img-src data:; form-action 'none'; base-uri 'none'"

// Page makes the file. wasm is the judge, support the wasm_exec.js of the Go release that compiled it, and version the
// program's version.
func Page(wasm, support []byte, version string) ([]byte, error) {
	var packed bytes.Buffer
	gz, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = gz.Write(wasm)
	}
	if err == nil {
		err = gz.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("verifypage: %w", err)
	}
	style := string(look.CSS) + pageCSS
	var out bytes.Buffer
	err = template.Must(template.New("page").Parse(pageHTML)).Execute(&out, struct {
		Policy, Version string
		Style           template.CSS
		Script          template.JS
		Worker, Judge   template.JS // data blocks: they contain base64, which cannot end an element
	}{fmt.Sprintf(policy, sourceHash(pageJS), sourceHash(style)), version, template.CSS(style), template.JS(pageJS),
		encoded(append(append([]byte{}, support...), workerJS...)), encoded(packed.Bytes())})
	if err != nil {
		return nil, fmt.Errorf("verifypage: %w", err)
	}
	return out.Bytes(), nil
}

// sourceHash returns the source expression of an inline script or style in a policy.
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func encoded(data []byte) template.JS {
	return template.JS(`"` + base64.StdEncoding.EncodeToString(data) + `"`)
}

// Handler serves the page from a file that Page made, such as the one in a release. The policy in the file is its own;
// the headers forbid frames, which a policy inside a file cannot do.
func Handler(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(path)
		if err != nil {
			http.Error(w, "the page that verifies reports is not there", http.StatusNotFound)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write(data)
	})
}
