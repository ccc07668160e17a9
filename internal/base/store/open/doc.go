// Package open opens the database that a URL names, with the driver for it. All of it is in open.go.
package open
