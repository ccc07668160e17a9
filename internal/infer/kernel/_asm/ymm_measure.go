package main

// measure emits a loop of products on registers alone: n rounds of twelve independent sums.
func (y *ymm) measure() {
	name := "multiply" + y.tier()
	y.WriteString("\n// func " + name + "(n int64)\n//\n" +
		"// Products as in a tile, in registers: twelve independent sums.\n")
	y.WriteString("TEXT ·" + name + "(SB), NOSPLIT, $0-8\n")
	y.p("MOVQ n+0(FP), CX")
	for _, reg := range []string{yw(0), yx} {
		y.p("VPXOR %s, %s, %s", reg, reg, reg)
	}
	if !y.vnni {
		y.p("VMOVDQU %s, %s", y.constant(ones), yx)
	}
	loop := y.label("loop")
	y.l(loop)
	for i := range 12 {
		sum := ysum(0, i)
		if y.vnni {
			y.dot(yx, yw(0), sum)
			continue
		}
		temp := []string{yw(1), yp}[i%2]
		y.p("VPMADDUBSW %s, %s, %s", yx, yw(0), temp)
		y.p("VPMADDWD %s, %s, %s", yx, temp, temp)
		y.p("VPADDD %s, %s, %s", temp, sum, sum)
	}
	y.p("DECQ CX")
	y.p("JNZ  %s", loop)
	y.p("VZEROUPPER")
	y.p("RET")
}
