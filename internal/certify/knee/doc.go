// Package knee finds the highest load at which a server still meets its objectives: the knee of its curve of latency
// over load.
//
// The search depends only on the steps that were taken, and not on a clock or on random numbers. It doubles the load
// until a step misses the objectives, bisects between the last two loads, and then takes longer steps on either side
// until the knee is enclosed with the stated confidence. search.go decides which load to try next, and what all steps
// together show; step.go decides whether one step held. Start reading at Search.Next.
package knee
