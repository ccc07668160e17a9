// Package tools reads questions that are answered by calls of tools, and compares a model's calls with those that are
// expected and with the tools' schemas.
//
// tools.go reads the questions; shapes.go has the public shapes of such files; grade.go compares calls. Start reading
// at Read and Question.Grade.
package tools
