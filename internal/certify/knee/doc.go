// Package knee finds the highest load at which a server still keeps its objectives: the knee of its curve of latency
// over load.
//
// The search is a function of the steps that were taken, without a clock and without chance: doubling until a step
// misses, bisecting between, then longer steps on either side until the knee is enclosed with the stated confidence.
// search.go decides what to try next and what the steps together say; step.go judges one step. Start reading at
// Search.Next.
package knee
