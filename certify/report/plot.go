package report

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// plot is one chart as SVG. Colours are CSS classes of the page, so the same drawing serves light, dark and print.
type plot struct {
	id           string // unique on the page; it becomes the id of the title
	title, about string // for readers who cannot see the plot
	xLabel       string
	yLabel       string
	width        float64
	height       float64
	xMax         float64
	yMax         float64
	xMin         float64
	xWhole       bool // x counts something, so its labels are whole numbers
	logX         bool
	yPercent     bool
	lines        []line
	dots         []dots
	whiskers     []whisker
	between      []between
	bands        []mark // shaded ranges of x
	levels       []mark // horizontal lines at from
	uprights     []mark // vertical lines at from
}

type line struct {
	class  string // c1 … c4, or fit
	points []Point
	steps  bool
	area   bool
}

type dots struct {
	class  string
	points []Point
	r      float64
}

// between is the area between two lines with the same x values.
type between struct {
	class     string
	low, high []Point
}

// whisker is the interval of one point.
type whisker struct {
	class     string
	x, lo, hi float64
}

type mark struct {
	high     bool // put the label of an upright at the top
	label    string
	from, to float64
	class    string
}

// Margins of the drawing area, in px.
const (
	plotLeft   = 58
	plotRight  = 14
	plotTop    = 12
	plotBottom = 40
)

// svg draws the chart.
func (p *plot) svg() string {
	if p.width == 0 {
		p.width = 520
	}
	if p.height == 0 {
		p.height = 230
	}
	if !(p.yMax > 0) {
		p.yMax = 1
	}
	if !(p.xMax > p.xMin) {
		p.xMax = p.xMin + 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="plot" role="img" aria-labelledby="%s-t %s-d" viewBox="0 0 %s %s" preserveAspectRatio="xMidYMid meet">`,
		p.id, p.id, px(p.width), px(p.height))
	fmt.Fprintf(&b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, p.id, html.EscapeString(p.title), p.id,
		html.EscapeString(p.about))
	p.frame(&b)
	fmt.Fprintf(&b, `<svg x="%d" y="%d" width="%s" height="%s" viewBox="%d %d %s %s" overflow="hidden">`,
		plotLeft, plotTop, px(p.inner()), px(p.tall()), plotLeft, plotTop, px(p.inner()), px(p.tall()))
	for _, a := range p.between {
		p.drawBetween(&b, a)
	}
	for _, l := range p.lines {
		p.drawLine(&b, l)
	}
	for _, w := range p.whiskers {
		fmt.Fprintf(&b, `<path class="whisker %s" d="M%s %sV%s"/>`, w.class, px(p.x(w.x)), px(p.y(math.Min(w.hi, p.yMax))),
			px(p.y(math.Max(w.lo, 0))))
	}
	for _, d := range p.dots {
		p.drawDots(&b, d)
	}
	b.WriteString(`</svg>`)
	p.drawMarks(&b)
	b.WriteString(`</svg>`)
	return b.String()
}

func (p *plot) inner() float64 { return p.width - plotLeft - plotRight }
func (p *plot) tall() float64  { return p.height - plotTop - plotBottom }

func (p *plot) x(v float64) float64 {
	if p.logX {
		lo, hi := math.Log(math.Max(p.xMin, 1e-3)), math.Log(p.xMax)
		return plotLeft + (math.Log(math.Max(v, 1e-3))-lo)/(hi-lo)*p.inner()
	}
	return plotLeft + (v-p.xMin)/(p.xMax-p.xMin)*p.inner()
}

func (p *plot) y(v float64) float64 { return plotTop + (1-v/p.yMax)*p.tall() }

// frame draws the bands, the grid and the labels of both axes.
func (p *plot) frame(b *strings.Builder) {
	for _, m := range p.bands {
		x0, x1 := math.Max(p.x(m.from), plotLeft), math.Min(p.x(m.to), plotLeft+p.inner())
		if x1 <= x0 {
			continue
		}
		fmt.Fprintf(b, `<rect class="band %s" x="%s" y="%d" width="%s" height="%s"/>`, m.class, px(x0), plotTop,
			px(x1-x0), px(p.tall()))
		// a label wider than its band is omitted; the table has it
		if m.label != "" && x1-x0 > 7*float64(len(m.label)) {
			fmt.Fprintf(b, `<text class="bandname" x="%s" y="%d">%s</text>`, px((x0+x1)/2), plotTop+11,
				html.EscapeString(m.label))
		}
	}
	for _, v := range ticks(0, p.yMax, 4) {
		y := p.y(v)
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%s" y1="%s" y2="%s"/>`, plotLeft, px(plotLeft+p.inner()),
			px(y), px(y))
		label := Number(v)
		if p.yPercent {
			label = Number(v*100) + " %"
		}
		fmt.Fprintf(b, `<text class="tick" text-anchor="end" x="%d" y="%s">%s</text>`, plotLeft-7, px(y+3.5), label)
	}
	for _, v := range p.xTicks() {
		x := p.x(v)
		fmt.Fprintf(b, `<line class="tickmark" x1="%s" x2="%s" y1="%s" y2="%s"/>`, px(x), px(x), px(plotTop+p.tall()),
			px(plotTop+p.tall()+4))
		fmt.Fprintf(b, `<text class="tick" text-anchor="middle" x="%s" y="%s">%s</text>`, px(x),
			px(plotTop+p.tall()+16), Number(v))
	}
	fmt.Fprintf(b, `<line class="axis" x1="%d" x2="%s" y1="%s" y2="%s"/>`, plotLeft, px(plotLeft+p.inner()),
		px(plotTop+p.tall()), px(plotTop+p.tall()))
	fmt.Fprintf(b, `<text class="label" text-anchor="middle" x="%s" y="%s">%s</text>`, px(plotLeft+p.inner()/2),
		px(p.height-6), html.EscapeString(p.xLabel))
	fmt.Fprintf(b, `<text class="label" text-anchor="middle" transform="translate(12 %s) rotate(-90)">%s</text>`,
		px(plotTop+p.tall()/2), html.EscapeString(p.yLabel))
}

func (p *plot) drawLine(b *strings.Builder, l line) {
	if len(l.points) == 0 {
		return
	}
	var path strings.Builder
	for i, pt := range l.points {
		x, y := px(p.x(pt.X)), px(p.y(pt.Y))
		switch {
		case i == 0:
			path.WriteString("M" + x + " " + y)
		case l.steps:
			path.WriteString("H" + x + "V" + y)
		default:
			path.WriteString("L" + x + " " + y)
		}
	}
	if l.area {
		last, first := l.points[len(l.points)-1], l.points[0]
		base := px(plotTop + p.tall())
		fmt.Fprintf(b, `<path class="area %s" d="%sL%s %sL%s %sZ"/>`, l.class, path.String(), px(p.x(last.X)), base,
			px(p.x(first.X)), base)
	}
	fmt.Fprintf(b, `<path class="line %s" d="%s"/>`, l.class, path.String())
}

func (p *plot) drawBetween(b *strings.Builder, a between) {
	var path strings.Builder
	for i, pt := range a.high {
		path.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + px(p.x(pt.X)) + " " + px(p.y(pt.Y)))
	}
	for _, pt := range slices.Backward(a.low) {
		path.WriteString("L" + px(p.x(pt.X)) + " " + px(p.y(pt.Y)))
	}
	fmt.Fprintf(b, `<path class="area %s" d="%sZ"/>`, a.class, path.String())
}

// drawDots draws all points of one kind as one path of round caps, which needs a tenth of the bytes of circles.
func (p *plot) drawDots(b *strings.Builder, d dots) {
	if len(d.points) == 0 {
		return
	}
	fmt.Fprintf(b, `<path class="dots %s" stroke-width="%s" d="`, d.class, px(2*d.r))
	for _, pt := range d.points {
		fmt.Fprintf(b, "M%s %sh0", px(p.x(pt.X)), px(p.y(pt.Y)))
	}
	b.WriteString(`"/>`)
}

// drawMarks draws targets on top of everything else, with labels where they fit.
func (p *plot) drawMarks(b *strings.Builder) {
	for _, m := range p.levels {
		y := p.y(m.from)
		fmt.Fprintf(b, `<line class="target" x1="%d" x2="%s" y1="%s" y2="%s"/>`, plotLeft, px(plotLeft+p.inner()),
			px(y), px(y))
		fmt.Fprintf(b, `<text class="targetname" text-anchor="end" x="%s" y="%s">%s</text>`, px(plotLeft+p.inner()-3),
			px(y-4), html.EscapeString(m.label))
	}
	for _, m := range p.uprights {
		x := p.x(m.from)
		anchor, at := "end", x-4
		if x < plotLeft+p.inner()/2 {
			anchor, at = "start", x+4
		}
		class := cmp.Or(m.class, "target")
		fmt.Fprintf(b, `<line class="%s" x1="%s" x2="%s" y1="%d" y2="%s"/>`, class, px(x), px(x), plotTop,
			px(plotTop+p.tall()))
		fmt.Fprintf(b, `<text class="%sname" text-anchor="%s" x="%s" y="%s">%s</text>`, class, anchor, px(at),
			px(map[bool]float64{true: plotTop + 9, false: plotTop + p.tall() - 6}[m.high]), html.EscapeString(m.label))
	}
}

func (p *plot) xTicks() []float64 {
	if !p.logX {
		all := ticks(p.xMin, p.xMax, 6)
		if p.xWhole {
			all = slices.DeleteFunc(all, func(v float64) bool { return v != math.Trunc(v) })
		}
		return all
	}
	var out []float64
	for e := math.Floor(math.Log10(math.Max(p.xMin, 1e-3))); e <= math.Log10(p.xMax); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= p.xMin && v <= p.xMax {
				out = append(out, v)
			}
		}
	}
	return out
}

// ticks are round numbers from lo to hi, about n of them.
func ticks(lo, hi float64, n int) []float64 {
	step := niceStep((hi - lo) / float64(n))
	if !(step > 0) {
		return []float64{lo}
	}
	var out []float64
	for i := math.Ceil(lo / step); i*step <= hi*(1+1e-9) && len(out) < 50; i++ {
		out = append(out, i*step)
	}
	return out
}

// niceStep is the smallest number of the form 1, 2, 2.5 or 5 times a power of ten that is at least x.
func niceStep(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 0) {
		return 0
	}
	base := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*base >= x*(1-1e-9) {
			return m * base
		}
	}
	return 10 * base
}

// roundUp is a round end for an axis that shows values up to x.
func roundUp(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 0) {
		return 1
	}
	step := niceStep(x / 4)
	return math.Ceil(x/step*(1-1e-9)) * step
}

// px formats a coordinate in tenths of a pixel, which is finer than a screen shows.
func px(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	v = math.Max(-1e5, math.Min(1e5, v))
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// minY is the smallest Y of a series.
func minY(s []Point) float64 {
	low := math.Inf(1)
	for _, p := range s {
		low = math.Min(low, p.Y)
	}
	return low
}

// maxY is the largest Y of some series.
func maxY(series ...[]Point) float64 {
	top := 0.0
	for _, s := range series {
		for _, p := range s {
			top = math.Max(top, p.Y)
		}
	}
	return top
}
