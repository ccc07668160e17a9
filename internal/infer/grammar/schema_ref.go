package grammar

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// references are the places of a document that a $ref can name: schemas with an $id, and anchors. Nothing is fetched.
type references struct {
	bases   map[string]*url.URL // of each schema with an $id, by its path
	schemas map[string]located  // by the whole URL of the $id
	anchors map[string]located  // by URL, "#" and name
	older   bool                // the document is of a draft up to 7

	dynamic   map[string]int // how many schemas have a $dynamicAnchor, by its name
	recursive int            // how many have a $recursiveAnchor that is true
}

// refKeywords refer to schemas.
var refKeywords = []string{"$ref", "$dynamicRef", "$recursiveRef"}

// isData tells the keywords whose values are not schemas, whatever they look like.
var isData = map[string]bool{"enum": true, "const": true, "default": true, "example": true, "examples": true}

// find reads the document once.
func (s *schemas) find() *references {
	if s.refs == nil {
		s.refs = &references{bases: map[string]*url.URL{}, schemas: map[string]located{},
			anchors: map[string]located{}, dynamic: map[string]int{}}
		if draft := s.root.get("$schema"); draft != nil {
			s.refs.older = strings.Contains(draft.text, "/draft-0")
		}
		s.refs.schemas[""] = located{s.root, "#"}
		s.refs.walk(located{s.root, "#"}, &url.URL{}, 0)
	}
	return s.refs
}

func (r *references) walk(l located, base *url.URL, depth int) {
	if depth > maxNesting {
		return
	}
	if l.v.kind == kindObject {
		base = r.identify(l, base)
		for _, name := range []string{"$anchor", "$dynamicAnchor"} {
			if a := l.v.get(name); a != nil && a.kind == kindString {
				r.anchors[base.String()+"#"+a.text] = l
			}
		}
		if a := l.v.get("$dynamicAnchor"); a != nil {
			r.dynamic[a.text]++
		}
		if a := l.v.get("$recursiveAnchor"); a != nil && a.truth {
			r.recursive++
		}
	}
	for _, m := range l.v.members {
		if !isData[m.name] {
			r.walk(located{m.value, l.path + "/" + escapePointer(m.name)}, base, depth+1)
		}
	}
	for i, item := range l.v.items {
		r.walk(located{item, fmt.Sprint(l.path, "/", i)}, base, depth+1)
	}
}

// identify reads the $id of a schema, which older drafts call id and of which they make anchors too: "#name". It gives
// the base of what is within.
func (r *references) identify(l located, base *url.URL) *url.URL {
	id := l.v.get("$id")
	if id == nil {
		id = l.v.get("id")
	}
	if r.older && l.v.get("$ref") != nil { // beside which nothing counts
		return base
	}
	if id == nil || id.kind != kindString || id.text == "" {
		return base
	}
	u, err := url.Parse(id.text)
	if err != nil {
		return base
	}
	name := u.Fragment
	u = base.ResolveReference(u)
	u.Fragment, u.RawFragment = "", ""
	if name != "" {
		r.anchors[u.String()+"#"+name] = l
		return base
	}
	if _, ok := r.schemas[u.String()]; !ok || l.path == "#" {
		r.schemas[u.String()] = l
	}
	r.bases[l.path] = u
	return u
}

// base gives the URL that references in a schema are relative to.
func (r *references) base(path string) *url.URL {
	if i := strings.LastIndex(path, "not("); i >= 0 { // what was negated stands where the schema does
		path, _, _ = strings.Cut(path[i+len("not("):], ")")
	}
	for path != "" {
		if u := r.bases[path]; u != nil {
			return u
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return &url.URL{}
}

// resolve finds what a keyword of refKeywords points to. The dynamic ones look for an anchor from the outermost schema
// that led here; where only one schema of the document has it, they can find no other.
func (s *schemas) resolve(l located, keyword string) (located, error) {
	target := l.v.get(keyword)
	if target.kind != kindString {
		return l, l.fail(keyword, "must be a string, got %s", target.shown())
	}
	to, err := s.locate(l, keyword, target.text)
	if err != nil {
		return l, err
	}
	refs := s.find()
	switch keyword {
	case "$dynamicRef":
		_, name, _ := strings.Cut(target.text, "#")
		if a := to.v.get("$dynamicAnchor"); a != nil && a.text == name && refs.dynamic[name] > 1 {
			return l, l.fail(keyword, "is supported only if a single schema has the $dynamicAnchor %q", name)
		}
	case "$recursiveRef":
		if target.text != "#" {
			return l, l.fail(keyword, "must be \"#\", got %q", target.text)
		}
		if a := to.v.get("$recursiveAnchor"); a != nil && a.truth && refs.recursive > 1 {
			return l, l.fail(keyword, "is supported only if a single schema has a $recursiveAnchor")
		}
	}
	return to, nil
}

// locate follows a reference as it is written.
func (s *schemas) locate(l located, keyword, target string) (located, error) {
	nothing := l.fail(keyword, "%q points to nothing", target)
	u, err := url.Parse(target)
	if err != nil {
		return l, nothing
	}
	refs := s.find()
	u = refs.base(l.path).ResolveReference(u)
	fragment := u.Fragment
	u.Fragment, u.RawFragment = "", ""
	at, ok := refs.schemas[u.String()]
	switch {
	case !ok:
		return l, l.fail(keyword, "%q is not in this schema; references to other documents are not supported", target)
	case fragment == "":
		return at, nil
	case fragment[0] != '/':
		if at, ok = refs.anchors[u.String()+"#"+fragment]; !ok {
			return l, nothing
		}
		return at, nil
	}
	for _, part := range strings.Split(fragment, "/")[1:] {
		part = pointerUnescapes.Replace(part)
		next := at.v.get(part)
		if at.v.kind == kindArray {
			if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(at.v.items) {
				next = at.v.items[i]
			}
		}
		if next == nil {
			return l, nothing
		}
		at = located{next, at.path + "/" + escapePointer(part)}
	}
	return at, nil
}

// holdsSchemas tells the keywords whose values are schemas by name.
var holdsSchemas = map[string]bool{"properties": true, "patternProperties": true, "$defs": true, "definitions": true,
	"dependentSchemas": true, "dependencies": true}

// dropNulls takes keywords that are null from a schema: they are what programs write for keywords that are not there.
func dropNulls(v *value) {
	kept := v.members[:0]
	for _, m := range v.members {
		if m.value.kind != kindNull || m.name == "const" {
			kept = append(kept, m)
		}
	}
	v.members = kept
	for _, m := range v.members {
		switch {
		case isData[m.name]:
		case holdsSchemas[m.name]: // there a null is not a schema
			for _, named := range m.value.members {
				dropNulls(named.value)
			}
		default:
			dropNulls(m.value)
		}
	}
	for _, item := range v.items {
		dropNulls(item)
	}
}
