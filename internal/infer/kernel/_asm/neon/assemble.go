package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// forms gives the word of each form of an instruction with all registers, indices and shifts zero (right shifts: as
// far as the element is wide). A form is the mnemonic and the arrangements of its operands: "[]" is an element of a
// vector, "#" an immediate, "s" a scalar register. A list of one register is written in braces.
var forms = map[string]uint32{
	"movi 2d #":         0x6f00e400,
	"movi 16b #":        0x4f00e400,
	"mov 16b 16b":       0x4ea01c00,
	"and 16b 16b 16b":   0x4e201c00,
	"orr 16b 16b 16b":   0x4ea01c00,
	"eor 16b 16b 16b":   0x6e201c00,
	"bit 16b 16b 16b":   0x6ea01c00,
	"bsl 16b 16b 16b":   0x6e601c00,
	"ushr 16b 16b #":    0x6f080400,
	"ushr 4s 4s #":      0x6f200400,
	"sshr 4s 4s #":      0x4f200400,
	"shl 16b 16b #":     0x4f085400,
	"shl 4s 4s #":       0x4f205400,
	"sli 16b 16b #":     0x6f085400,
	"ushl 16b 16b 16b":  0x6e204400,
	"add 16b 16b 16b":   0x4e208400,
	"add 4s 4s 4s":      0x4ea08400,
	"sub 16b 16b 16b":   0x6e208400,
	"sub 4s 4s 4s":      0x6ea08400,
	"mla 4s 4s 4s":      0x4ea09400,
	"mla 4s 4s s[]":     0x6f800000,
	"mul 4s 4s 4s":      0x4ea09c00,
	"sdot 4s 16b 4b[]":  0x4f80e000,
	"smmla 4s 16b 16b":  0x4e80a400,
	"smull 8h 8b 8b":    0x0e20c000,
	"smull2 8h 16b 16b": 0x4e20c000,
	"smlal 8h 8b 8b":    0x0e208000,
	"smlal2 8h 16b 16b": 0x4e208000,
	"sadalp 4s 8h":      0x4e606800,
	"saddlp 4s 8h":      0x4e602800,
	"saddlp 8h 16b":     0x4e202800,
	"addp 4s 4s 4s":     0x4ea0bc00,
	"zip1 4s 4s 4s":     0x4e803800,
	"zip2 4s 4s 4s":     0x4e807800,
	"zip1 2d 2d 2d":     0x4ec03800,
	"zip2 2d 2d 2d":     0x4ec07800,
	"uzp1 4s 4s 4s":     0x4e801800,
	"uzp2 4s 4s 4s":     0x4e805800,
	"trn1 4s 4s 4s":     0x4e802800,
	"trn2 4s 4s 4s":     0x4e806800,
	"dup 4s s[]":        0x4e040400,
	"sshll 4s 4h #":     0x0f10a400,
	"sshll2 4s 8h #":    0x4f10a400,
	"sshll 8h 8b #":     0x0f08a400,
	"sshll2 8h 16b #":   0x4f08a400,
	"shll 4s 4h #":      0x2e613800,
	"shll2 4s 8h #":     0x6e613800,
	"xtn 4h 4s":         0x0e612800,
	"xtn2 8h 4s":        0x4e612800,
	"shrn 4h 4s #":      0x0f108400,
	"sqxtn 4h 4s":       0x0e614800,
	"sqxtn2 8h 4s":      0x4e614800,
	"sqxtn 8b 8h":       0x0e214800,
	"sqxtn2 16b 8h":     0x4e214800,
	"tbl 16b 16b 16b":   0x4e000000,
	"umax 4s 4s 4s":     0x6ea06400,
	"smax 4s 4s 4s":     0x4ea06400,
	"smin 4s 4s 4s":     0x4ea06c00,
	"umaxv s 4s":        0x6eb0a800,
	"addv s 4s":         0x4eb1b800,
	"fadd 4s 4s 4s":     0x4e20d400,
	"fsub 4s 4s 4s":     0x4ea0d400,
	"fmul 4s 4s 4s":     0x6e20dc00,
	"fdiv 4s 4s 4s":     0x6e20fc00,
	"fmla 4s 4s 4s":     0x4e20cc00,
	"fmls 4s 4s 4s":     0x4ea0cc00,
	"fmla 4s 4s s[]":    0x4f801000,
	"fmls 4s 4s s[]":    0x4f805000,
	"fmul 4s 4s s[]":    0x4f809000,
	"fneg 4s 4s":        0x6ea0f800,
	"fabs 4s 4s":        0x4ea0f800,
	"scvtf 4s 4s":       0x4e21d800,
	"fcvtns 4s 4s":      0x4e21a800,
	"frintn 4s 4s":      0x4e218800,
	"fcvtl 4s 4h":       0x0e217800,
	"fcvtl2 4s 8h":      0x4e217800,
	"fcvtn 4h 4s":       0x0e216800,
	"fcvtn2 8h 4s":      0x4e216800,
	"fcvtl 2d 2s":       0x0e617800,
	"fcvtl2 2d 4s":      0x4e617800,
	"fadd 2d 2d 2d":     0x4e60d400,
	"fmla 2d 2d 2d":     0x4e60cc00,
	"faddp 2d 2d 2d":    0x6e60d400,
	"fmax 4s 4s 4s":     0x4e20f400,
	"fmaxnm 4s 4s 4s":   0x4e20c400,
	"fmaxv s 4s":        0x6e30f800,
	"fmaxnmv s 4s":      0x6e30c800,
	"fcmgt 4s 4s 4s":    0x6ea0e400,
	"fcmge 4s 4s 4s":    0x6e20e400,
	"fcmeq 4s 4s 4s":    0x4e20e400,
	"faddp 4s 4s 4s":    0x6e20d400,
	"cmeq 4s 4s 4s":     0x6ea08c00,
}

// rightShifts are encoded as the distance to twice the element's width, the others as that above it.
var rightShifts = map[string]bool{"ushr": true, "sshr": true, "shrn": true}

var operand = regexp.MustCompile(`^\{?(?:v(\d+)\.(\d*[bhsd])(?:\[(\d+)\])?|s(\d+)|#(\d+))\}?$`)

// assemble gives the word of an instruction in the usual notation. Operands are, in this order, Rd, Rn and Rm; an
// element is that of the last operand.
func assemble(text string) (uint32, error) {
	bad := func(why string) (uint32, error) { return 0, fmt.Errorf("%q: %s", text, why) }
	name, rest, _ := strings.Cut(text, " ")
	form, width := name, 0
	var set uint32
	for i, o := range strings.Split(rest, ", ") {
		m := operand.FindStringSubmatch(o)
		if m == nil || i > 2 {
			return bad("operand " + o)
		}
		at := [...]int{0, 5, 16}[i]
		n := func(k, limit int) uint32 {
			v, err := strconv.Atoi(m[k])
			if err != nil || v >= limit {
				form += " out of range"
			}
			return uint32(v)
		}
		switch {
		case m[5] != "" && name == "movi":
			v := n(5, 256)
			form, set = form+" #", set|v>>5<<16|v&31<<5
		case m[5] != "" && strings.HasPrefix(name, "shll"): // by the width, the only one there is
			form += " #"
		case m[5] != "":
			v := n(5, width+1)
			if rightShifts[name] {
				v = uint32(width) - v
			}
			form, set = form+" #", set|v<<16
		case m[4] != "":
			form, set = form+" s", set|n(4, 32)<<at
		case m[3] != "" && name == "dup":
			form, set = form+" s[]", set|n(1, 32)<<at|n(3, 4)<<19
		case m[3] != "":
			v := n(3, 4)
			form, set = form+" "+m[2]+"[]", set|n(1, 32)<<at|v&1<<21|v>>1<<11
		default:
			form, set = form+" "+m[2], set|n(1, 32)<<at
			if name == "mov" && i == 1 {
				set |= n(1, 32) << 16
			}
			if i == 0 {
				width = map[byte]int{'b': 8, 'h': 16, 's': 32, 'd': 64}[m[2][len(m[2])-1]]
			}
		}
	}
	base, ok := forms[form]
	if !ok {
		return bad("no form " + form)
	}
	return base + set, nil
}
