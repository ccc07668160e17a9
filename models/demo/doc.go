// Package demo holds the built-in model: a small Mixtral, trained from scratch on text that this directory generates.
// With it the service and its certification work without a download.
//
// demo.go embeds the file. README.md is the model card; rebuild.sh makes the file again from nothing.
package demo
