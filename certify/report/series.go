package report

import "github.com/hxp-enterprise/mixtral/testcases"

// Series is the data of the plots on the HTML page: the events, reduced to as many points as can be told apart on a
// screen. Like the report it is derived from the events, but it is not part of the JSON.
type Series struct {
	Duration float64 // seconds
	Phases   []PhaseSeries
	Memory   []Point // resident memory in GB over seconds
	Anon     []Point // anonymous memory in GB
	CPU      []Point // cores over windows of 1 s
	// all accelerators together: memory in GB, power in watts, and mean utilization from 0 to 1
	GPUMemory, GPUWatts, GPUBusy []Point
	Fit                          []Point  // the two ends of the fitted memory trend in GB; empty without a fit
	FitPhase                     string   // id of the phase of the fit
	Spans                        []Marker // where the phases lie in the run
}

// Point is one point of a plot.
type Point struct{ X, Y float64 }

// Band has percentiles, in milliseconds, of a time around X.
type Band struct{ X, P50, P90, Max float64 }

// Marker is a phase on the time axis of the run, in seconds.
type Marker struct {
	Name     string
	From, To float64
}

// PhaseSeries is one phase of load. Times are in seconds since the phase began.
type PhaseSeries struct {
	ID          string
	Kind        testcases.Kind
	Latency     []Point // latencies of single requests in ms over their scheduled times, reduced; extremes are kept
	Failed      []Point // the same of failed requests
	LatencyECDF []Point // share of requests over ms
	TTFTECDF    []Point
	TTFT        []Band // time to the first token over time
	// the same two for the earlier run that this one is compared with
	EarlierLatencyECDF, EarlierTTFTECDF []Point
	Offered                             []Point // arrivals per second
	Issued                              []Point
	Completed                           []Point
	InFlight                            []Point
	SteadyFrom                          float64
	SteadyTo                            float64
	RequestsInECDF                      int
	RequestsInSeries                    int
}
