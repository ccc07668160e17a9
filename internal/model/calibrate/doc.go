// Package calibrate lets a model read a text and collects the importance matrix and the perplexity. The importance
// matrix says how strongly each column of a weight matrix is used; with it, quantisation loses less.
//
// calibrate.go is all of it. The text is cut as llama.cpp's imatrix tool cuts it, so that the two tools' figures can
// be compared: into chunks of the same number of tokens, each read without what came before, its first token replaced
// by BOS. The rest at the end is not read.
package calibrate
