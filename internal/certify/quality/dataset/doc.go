// Package dataset reads question sets from JSON Lines (GSM8K, MBPP, HumanEval, OpenOrca, ShareGPT) and compares
// responses with their references, as MLPerf's Mixtral task does. It never runs code from a data set.
//
// dataset.go reads and evaluates; rouge.go has the ROUGE scores, and porter.go the stemmer that they use. Start
// reading at Read and Evaluate.
package dataset
