// Package npm installs the packages of a package-lock.json for tests of software that is written in JavaScript. All of
// it is in npm.go.
package npm
