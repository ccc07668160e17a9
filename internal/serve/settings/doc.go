// Package settings fills a struct from a YAML file, from environment variables and from KEY=VALUE, by the yaml tags of
// its fields, and reports everything that is wrong at once. The environment and KEY=VALUE set text, numbers and
// booleans; a file can also set lists of text and lists of mappings.
//
// settings.go has Problem and the setting of one key from text: start reading there. yaml.go reads files, and
// environ.go the environment.
package settings
