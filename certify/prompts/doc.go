// Package prompts reads performance_test_prompts.json: the prompts of a test case by category and level, and what a
// good answer to each must contain.
//
// The file has the specification's structure: category → level → prompt text. Beside the categories it has
// "schema_version" and "rubrics", whose keys are "category/level".
//
// prompts.go has the types, and reads and validates a file. generate.go makes new prompts from a seed with the
// questions of questions.go and the words of vocabulary.go. check.go warns of weak rubrics, and tokens.go estimates
// lengths. Start reading at Set.
package prompts
