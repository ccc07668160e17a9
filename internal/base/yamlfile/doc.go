// Package yamlfile sets the fields of a struct from a YAML file, by their yaml tags, and reports every error at once,
// each with its line.
//
// read.go has Read, its Problem and the errors of syntax: start reading there. set.go sets values from the nodes of
// the file.
package yamlfile
