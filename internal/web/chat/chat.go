package chat

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"

	"github.com/hxp-enterprise/mixtral/internal/web/look"
)

//go:embed assets
var assets embed.FS

// Base is the path of all parts of the console except its first page.
const Base = "/console/"

// page is one page with what its template shows.
type page struct {
	Path, Title, Script, Version string
	Links                        []link
}

type link struct{ Path, Title string }

var (
	links   = []link{{"/", "Chat"}, {Base + "status", "Status"}, {Base + "tokens", "Tokens"}}
	bodies  = []string{"chat", "status", "tokens"} // of links
	scripts = []string{"common.js", "keep.js", "answer.js", "chat.js", "status.js", "tokens.js"}
)

// Pages returns the console's handlers by path. version is the service's version.
func Pages(version string) map[string]http.Handler {
	all := map[string]http.Handler{Base + "look.css": look.File("text/css; charset=utf-8", look.CSS)}
	for i, l := range links {
		t := template.Must(template.ParseFS(assets, "assets/frame.html", "assets/"+bodies[i]+".html"))
		var b bytes.Buffer
		err := t.ExecuteTemplate(&b, "frame.html", page{Path: l.Path, Title: l.Title, Script: bodies[i],
			Version: version, Links: links})
		if err != nil {
			panic(err) // the templates and the data are part of the program
		}
		all[l.Path] = look.File("text/html; charset=utf-8", b.Bytes())
	}
	for _, name := range append([]string{"chat.css"}, scripts...) {
		data, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic(err)
		}
		kind := "text/javascript; charset=utf-8"
		if name == "chat.css" {
			kind = "text/css; charset=utf-8"
		}
		all[Base+name] = look.File(kind, data)
	}
	return all
}
