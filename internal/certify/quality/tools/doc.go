// Package tools reads questions that a model answers with tool calls, and compares the calls with the expected ones
// and with the tools' schemas.
//
// tools.go reads the questions, shapes.go converts the public file formats, and grade.go compares calls. Start reading
// at Read and Question.Grade.
package tools
