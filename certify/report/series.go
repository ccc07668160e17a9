package report

import "github.com/hxp-enterprise/mixtral/testcases"

// Series is the data of the plots on the HTML page: the events, thinned to what can be told apart on a screen. It is
// derived from the events like the report, and is no part of the JSON.
type Series struct {
	Duration float64 // seconds
	Phases   []PhaseSeries
	Memory   []Point // resident GB over seconds
	Anon     []Point // anonymous GB
	CPU      []Point // cores over 1 s windows
	// of all accelerators together: GB, watts, and the share of the time that they were busy
	GPUMemory, GPUWatts, GPUBusy []Point
	Fit                          []Point  // two ends of the fitted memory trend, GB; empty without a fit
	FitPhase                     string   // the phase that was fitted
	Spans                        []Marker // phases as stretches of the whole run
}

// Point is one place of a line.
type Point struct{ X, Y float64 }

// Band is percentiles of a stretch of time.
type Band struct{ X, P50, P90, Max float64 }

// Marker is a phase on the axis of the whole run, in seconds.
type Marker struct {
	Name     string
	From, To float64
}

// PhaseSeries is one phase of load, times in seconds since the phase began.
type PhaseSeries struct {
	ID          string
	Kind        testcases.Kind
	Latency     []Point // ms of single requests by their schedule, thinned; extremes are kept
	Failed      []Point // requests that failed
	LatencyECDF []Point // share over ms
	TTFTECDF    []Point
	TTFT        []Band // time to the first token over time
	// the same two of the run that this one is compared with
	EarlierLatencyECDF, EarlierTTFTECDF []Point
	Offered                             []Point // arrivals a second
	Issued                              []Point
	Completed                           []Point
	InFlight                            []Point
	SteadyFrom                          float64
	SteadyTo                            float64
	RequestsInECDF                      int
	RequestsInSeries                    int
}
