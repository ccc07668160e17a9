package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// Names of files that are pieces of a model.
var (
	splitName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})\.gguf$`)                 // each a GGUF file of its own
	partOf    = regexp.MustCompile(`^(.+\.gguf)\.part(\d{1,4})of(\d{1,4})$`)          // pieces of one file
	partName  = regexp.MustCompile(`^(.+\.gguf)[.-](?:split|part)-?([a-z]|\d{1,4})$`) // likewise, their number unknown
)

// model is what a repository's GGUF files make.
type model struct {
	name  string // path of the file, of a split model without its -00001-of-00005
	files []File // in order; one with Parts where files must be joined
	err   error  // a piece is missing
}

func (m *model) size() (n int64) {
	for _, f := range m.files {
		n += f.Size
	}
	return n
}

// piece is where a file belongs in its model.
type piece struct {
	number, count int // count is 0 where the name does not say it
	file          File
}

// models groups a repository's GGUF files: a split model is one, and so is a file that was cut for its size.
func models(files []File) []*model {
	split, joined := map[string][]piece{}, map[string][]piece{}
	var all []*model
	for _, f := range files {
		if m := splitName.FindStringSubmatch(f.Path); m != nil {
			split[m[1]+".gguf"] = append(split[m[1]+".gguf"], pieceOf(m[2], m[3], f))
		} else if m := partOf.FindStringSubmatch(f.Path); m != nil {
			joined[m[1]] = append(joined[m[1]], pieceOf(m[2], m[3], f))
		} else if m := partName.FindStringSubmatch(f.Path); m != nil {
			joined[m[1]] = append(joined[m[1]], pieceOf(m[2], "0", f))
		} else if strings.HasSuffix(f.Path, ".gguf") {
			all = append(all, &model{name: f.Path, files: []File{f}})
		}
	}
	for name, pieces := range split {
		files, err := inOrder(name, pieces)
		all = append(all, &model{name, files, err})
	}
	for name, pieces := range joined {
		files, err := inOrder(name, pieces)
		one := File{Path: name, Parts: files}
		for _, f := range files {
			one.Size += f.Size
		}
		all = append(all, &model{name, []File{one}, err})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all
}

// pieceOf reads a piece's number: 00001, 1 or a.
func pieceOf(number, count string, f File) piece {
	n, err := strconv.Atoi(number)
	if err != nil {
		n = int(number[0]-'a') + 1
	}
	of, _ := strconv.Atoi(count)
	return piece{n, of, f}
}

// inOrder sorts pieces and finds out whether one is missing.
func inOrder(name string, pieces []piece) (files []File, err error) {
	sort.Slice(pieces, func(i, j int) bool { return pieces[i].number < pieces[j].number })
	first := min(pieces[0].number, 1) // some count from 0
	for i, p := range pieces {
		files = append(files, p.file)
		if p.number != first+i || p.count != pieces[0].count {
			err = fmt.Errorf("%w: the repository lacks a part of %s: %s is the %d. of those that it has",
				ErrNotFound, name, p.file.Path, i+1)
		}
	}
	if n := pieces[0].count; err == nil && n > 0 && n != len(pieces) {
		err = fmt.Errorf("%w: the repository has %d of the %d parts of %s", ErrNotFound, len(pieces), n, name)
	}
	return files, err
}

// support are the files that a model in safetensors has beside its weights.
var support = []string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer.model",
	"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
	"chat_template.json", "additional_chat_templates/"}

const indexName = "model.safetensors.index.json"

// Choose picks the files that a reference means, of its repository's listing. Without a file in the reference that is
// the repository's one GGUF model, or everything that a model in safetensors needs and nothing else. A file that is
// part of a split model stands for all of its parts, and so does the model's name without -00001-of-00005; the parts
// of a file that was cut for its size come as one File with Parts. The name may lack .gguf, or be a directory with
// one model. Several models are an ErrChoice that lists them.
func (c *Client) Choose(ctx context.Context, r Ref, files []File) ([]File, error) {
	return choose(files, r.File, func(path string) ([]byte, error) {
		f := r
		f.File = path
		data, _, _, err := c.get(ctx, c.address(r, File{Path: path}), f.String(), maxListing)
		return data, err
	})
}

// choose is Choose. read gives the content of a small file of the repository.
func choose(files []File, name string, read func(path string) ([]byte, error)) ([]File, error) {
	all := models(files)
	if name == "" {
		if len(all) == 0 {
			return chooseWeights(files, "", read)
		}
		return one(all, "the repository")
	}
	for _, m := range all { // a part stands for the whole
		for _, f := range slices.Concat(m.files, m.files[0].Parts) {
			if f.Path == name {
				return m.files, m.err
			}
		}
	}
	for _, f := range files {
		if f.Path == name {
			return []File{f}, nil
		}
	}
	same := func(a, b string) bool { return a == b }
	for range 2 { // first as it is written, then in any case
		for _, m := range all {
			if same(m.name, name) || same(m.name, name+".gguf") {
				return m.files, m.err
			}
		}
		same = strings.EqualFold
	}
	dir := strings.TrimSuffix(name, "/") + "/"
	var within []*model
	for _, m := range all {
		if strings.HasPrefix(m.name, dir) {
			within = append(within, m)
		}
	}
	if len(within) > 0 {
		return one(within, name)
	}
	if slices.ContainsFunc(files, func(f File) bool { return strings.HasPrefix(f.Path, dir) }) {
		return chooseWeights(files, dir, read)
	}
	return nil, fmt.Errorf("%w: the repository has no %s%s", ErrNotFound, name, listed("; it has ", all))
}

// one gives the files of the only model among several.
func one(all []*model, where string) ([]File, error) {
	var whole []*model
	for _, m := range all {
		base := strings.ToLower(path.Base(m.name))
		if !strings.Contains(base, "imatrix") && !strings.HasPrefix(base, "mmproj") { // they accompany models
			whole = append(whole, m)
		}
	}
	switch len(whole) {
	case 0:
		return all[0].files, all[0].err
	case 1:
		return whole[0].files, whole[0].err
	}
	return nil, fmt.Errorf("%w: %s holds %s", ErrChoice, where, listed("", whole))
}

// listed names models with their sizes.
func listed(before string, all []*model) string {
	var names []string
	for i, m := range all {
		if i == 100 {
			names = append(names, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		names = append(names, fmt.Sprintf("%s (%.1f GB)", m.name, float64(m.size())/1e9))
	}
	if len(names) == 0 {
		return ""
	}
	return before + strings.Join(names, ", ")
}

// chooseWeights gives what a model in safetensors needs: configuration, tokenizer, index, and the files that the
// index names. The same weights in other formats are left: consolidated.*, .pth, .bin.
func chooseWeights(files []File, dir string, read func(string) ([]byte, error)) ([]File, error) {
	var chosen, weights []File
	index := false
	pickles := ""
	for _, f := range files {
		base, ok := strings.CutPrefix(f.Path, dir)
		switch {
		case !ok:
		case slices.ContainsFunc(support, func(s string) bool {
			return base == s || strings.HasSuffix(s, "/") && strings.HasPrefix(base, s) && path.Ext(base) == ".jinja"
		}):
			chosen = append(chosen, f)
		case base == indexName:
			chosen, index = append(chosen, f), true
		case strings.Contains(base, "/"):
		case strings.HasSuffix(base, ".safetensors"):
			weights = append(weights, f)
		case strings.HasSuffix(base, ".bin"), strings.HasSuffix(base, ".pth"), strings.HasSuffix(base, ".pt"):
			pickles = base
		}
	}
	if index {
		named, err := indexed(dir+indexName, read)
		if err != nil {
			return nil, err
		}
		for _, name := range named {
			i := slices.IndexFunc(weights, func(f File) bool { return f.Path == dir+name })
			if i < 0 {
				return nil, fmt.Errorf("%w: %s names %s, which the repository does not have", ErrNotFound,
					dir+indexName, plain(name))
			}
			chosen = append(chosen, weights[i])
		}
		return chosen, nil
	}
	if i := slices.IndexFunc(weights, func(f File) bool { return f.Path == dir+"model.safetensors" }); i >= 0 {
		return append(chosen, weights[i]), nil
	}
	consolidated := false
	n := len(chosen)
	for _, f := range weights {
		if strings.HasPrefix(path.Base(f.Path), "consolidated") {
			consolidated = true
		} else {
			chosen = append(chosen, f)
		}
	}
	switch {
	case len(chosen) > n:
		return chosen, nil
	case consolidated:
		return nil, fmt.Errorf("%w: the repository holds Mistral's consolidated weights only, which are not read",
			ErrNotFound)
	case pickles != "":
		return nil, fmt.Errorf("%w: the repository holds PyTorch pickles only (%s), which are not read, as they may "+
			"run code", ErrNotFound, pickles)
	}
	return nil, fmt.Errorf("%w: the repository holds neither GGUF nor safetensors files", ErrNotFound)
}

// indexed gives the files that an index names, in order.
func indexed(path string, read func(string) ([]byte, error)) ([]string, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	if err := bounded.JSON(data, maxValues, maxDepth); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAnswer, path, err)
	}
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil || len(index.Map) == 0 {
		return nil, fmt.Errorf("%w: %s has no weight_map", ErrAnswer, path)
	}
	seen := map[string]bool{}
	var names []string
	for _, name := range index.Map {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

// maxParts bounds the parts that a URL's name may claim.
const maxParts = 1000

// URLFiles gives the files that a plain URL means: the file itself, all parts of a split model where it is one of
// them, or one file of several that are joined. An address with a query stands for itself: the query may be a
// signature of that file alone.
func URLFiles(r Ref) ([]File, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRef, err)
	}
	base := path.Base(u.Path)
	if !safePath(base) {
		return nil, fmt.Errorf("%w: %q: malformed file name %q", ErrRef, r.URL, base)
	}
	sibling := func(name string) File {
		return File{Path: name, URL: u.JoinPath("..", name).String()}
	}
	count := func(text string) int { n, _ := strconv.Atoi(text); return n }
	split, part := splitName.FindStringSubmatch(base), partOf.FindStringSubmatch(base)
	switch {
	case u.RawQuery != "":
	case split != nil && count(split[3]) >= 1 && count(split[3]) <= maxParts:
		var all []File
		for i := range count(split[3]) {
			all = append(all, sibling(fmt.Sprintf("%s-%05d-of-%s.gguf", split[1], i+1, split[3])))
		}
		return all, nil
	case part != nil && count(part[3]) >= 1 && count(part[3]) <= maxParts:
		one := File{Path: part[1]}
		for i := range count(part[3]) {
			one.Parts = append(one.Parts, sibling(fmt.Sprintf("%s.part%dof%s", part[1], i+1, part[3])))
		}
		return []File{one}, nil
	}
	return []File{{Path: base, URL: r.URL}}, nil
}
