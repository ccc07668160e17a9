// Package sample chooses the next token from a row of logits and gives log-probabilities.
//
// sample.go has the parameters and the Sampler: start there. draw.go draws a token at random, logprob.go computes
// log-probabilities.
//
// A choice depends on the parameters, the seed, the tokens so far and the logits, and on nothing else: not on what
// else is sampled at the same time.
package sample
