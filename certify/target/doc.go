// Package target provides the server that a certification is about: one that a launcher starts for the run, or one
// that runs already. It stops only what it started.
//
// target.go has Server and Launcher, and the two simple ways to get a server (Existing, Handler); child.go starts a
// program as a process of its own. Start reading at Launcher.
package target
