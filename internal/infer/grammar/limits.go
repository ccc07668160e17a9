package grammar

// Bounds against sources that would cost too much. Each is far above what schemas and grammars in use need.
const (
	maxSource   = 1 << 20  // bytes of a source
	maxRegex    = 64 << 10 // bytes of a regular expression
	maxNodes    = 200_000  // nodes of an automaton; 80 bytes and more each
	maxDepth    = 200      // levels of nested calls and counted repetitions in a text
	maxPlaces   = 4096     // places in one state
	maxRepeat   = 100_000  // a count in a repetition
	maxRules    = 20_000
	maxTurns    = 200     // rules that begin with themselves
	maxNesting  = 250     // of parentheses in a source, of values in a JSON document
	maxDFA      = 20_000  // states, where languages are intersected
	maxVariants = 256     // alternatives that a schema's anyOf, oneOf and allOf multiply to
	maxJoined   = 100_000 // pairs of alternatives that are joined on the way there
	maxWork     = 600_000 // places looked at for one mask: about 20 ms
	maxKept     = 8 << 20 // bytes of states and masks that a grammar keeps; beyond, it starts to collect afresh
	maxForced   = 256     // bytes of forced text that are looked for at a time
	maxExprs    = 400_000 // expressions that the front ends make of one source
)
