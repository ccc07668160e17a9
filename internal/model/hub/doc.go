// Package hub downloads model files: from a hub that speaks Hugging Face's protocol, or from plain URLs. Transfers use
// several connections, continue after any interruption, and are checked against the hub's checksums. Whatever a server
// does, a transfer ends: bytes, items, redirects, silence and slowness have bounds.
//
// hub.go has the client: start there. ref.go reads references, list.go asks for a repository's files and choose.go
// picks those that make a model. wire.go sends one request: redirects, the token and the time limits. source.go finds
// out where a file is, fetch.go downloads it, parts.go records what has arrived, and retry.go decides what to try
// again and when. disk_*.go says how much room a disk has. environment.go and cache.go know what Hugging Face's own
// tools keep on this machine.
package hub
