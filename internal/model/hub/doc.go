// Package hub downloads model files: from a hub that speaks Hugging Face's protocol, or from plain URLs. Transfers
// use several connections, continue after any interruption, and are checked against the hub's SHA-256.
//
// hub.go has references, the client and its listings: start there. fetch.go downloads one file, parts.go records
// which parts of it have arrived, retry.go decides what to try again and when. cache.go finds files that Hugging
// Face's own tools have downloaded. disk_*.go ask for free space.
package hub
