package settings

import "github.com/hxp-enterprise/mixtral/internal/base/yamlfile"

// ErrSyntax is matched when a file cannot be read as YAML. The message shows the line.
var ErrSyntax = yamlfile.ErrSyntax

// Places says where a key was set: "mixtral.yaml:3", or the name of an environment variable.
type Places map[string]string

// YAML sets keys of the struct that to points to from a file's content. name is the file's name, for messages. It
// returns an error if the file is not one mapping; everything else is among the problems, in the file's order.
func YAML(to any, name string, data []byte) (Places, []Problem, error) {
	lines, found, err := yamlfile.Read(to, name, data)
	if err != nil {
		return nil, nil, err
	}
	places := Places{}
	for key, line := range lines {
		places[key] = yamlfile.Place(name, line)
	}
	var problems []Problem
	for _, p := range found {
		problems = append(problems, Problem{Place: yamlfile.Place(name, p.Line), Key: p.Path, Value: p.Value,
			Allowed: p.Allowed})
	}
	return places, problems, nil
}
