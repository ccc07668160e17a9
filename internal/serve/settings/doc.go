// Package settings sets the fields of a struct from a YAML file, from environment variables and from KEY=VALUE, by the
// yaml tags of the fields, and reports all errors at once. The environment and KEY=VALUE set texts, numbers and
// booleans; a file can also set lists of texts and lists of mappings.
//
// settings.go has Problem and sets one key from text: start reading there. yaml.go reads files with package yamlfile,
// and environ.go the environment.
package settings
