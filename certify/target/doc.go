// Package target provides the server to certify: one that a launcher starts for the run, or one that is already
// running. It stops only what it started.
//
// target.go has Server and Launcher, and the two simple ways to get a server (Existing, Handler). child*.go starts a
// program as a separate process. Start reading at Launcher.
package target
