// Package prompts reads performance_test_prompts.json: the prompts of a test case by category and level, and what a
// good answer to each must contain.
//
// The file's first level is the specification's: category → level → prompt text. Beside the categories stand
// "schema_version" and "rubrics", whose keys are "category/level".
//
// prompts.go has the types, reads a file and validates; generate.go makes new prompts from a seed with the questions
// of questions.go and the words of vocabulary.go; check.go warns of weak rubrics; tokens.go estimates lengths. Start
// reading at Set.
package prompts
