package quality

import (
	"strings"
)

// codeStarts are usual beginnings of lines of code in common languages.
var codeStarts = []string{"def ", "return", "import ", "from ", "class ", "func ", "package ", "const ", "let ",
	"var ", "public ", "private ", "#include", "for (", "for(", "if (", "if(", "while ",
	"SELECT ", "FROM ", "WHERE ", "GROUP BY", "ORDER BY", "JOIN ", "LIMIT ", "INSERT ", "UPDATE ", "CREATE TABLE",
	"function ", "console.", "print(", "//", "elif ", "else:", "try:", "except", "@", "fn ", "impl ", "<", "{",
	"}"}

// codeLine reports whether a line looks like code rather than prose.
func codeLine(line string) bool {
	t := strings.TrimSpace(line)
	if t == "" {
		return false
	}
	indented := strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")
	signs := 0
	for _, r := range t {
		if strings.ContainsRune("=(){}[];<>+*/&|_\"", r) {
			signs++
		}
	}
	for _, p := range codeStarts {
		if strings.HasPrefix(t, p) && (signs > 0 || p[0] < 'a' || indented) {
			return true
		}
	}
	return strings.HasSuffix(t, ";") && signs > 1 || strings.HasSuffix(t, "{") || indented && signs > 0 &&
		!listItem(t) || signs*4 > len(t)
}

// looksLikeCode reports whether a response without fences is code, which is so if most of its first lines are.
func looksLikeCode(lines []string) bool {
	n, all := 0, 0
	for _, l := range lines[:min(len(lines), 40)] {
		if strings.HasPrefix(strings.TrimSpace(l), "```") {
			return false
		}
		if strings.TrimSpace(l) != "" {
			all++
			if codeLine(l) && !listItem(strings.TrimSpace(l)) && !strings.HasPrefix(strings.TrimSpace(l), "|") {
				n++
			}
		}
	}
	return all > 1 && 2*n > all || all == 1 && n == 1
}

// structure checks what programming languages have in common: brackets match, and blocks are indented deeper than the
// lines that open them. It also checks that fences and strings are closed.
func structure(d *doc) Part {
	if d.openFence {
		return part(Completeness, "code", 0, "a block of code is not closed")
	}
	if len(d.source) == 0 {
		return part(Completeness, "code", 0, "no code")
	}
	if strings.Count(strings.Join(d.source, "\n"), "\"\"\"")%2 == 1 {
		return part(Completeness, "code", 0, "a string is not closed")
	}
	wrong, open := unbalanced(d.source)
	if wrong || open > 0 {
		return part(Completeness, "code", 0, "brackets do not match (%d left open)", open)
	}
	bad, all := 0, 0
	for i, line := range d.source {
		t := strings.TrimSpace(line)
		if t == "" || i+1 >= len(d.source) {
			if strings.HasSuffix(t, ":") || strings.HasSuffix(t, "{") {
				all++
				bad++ // the block has no body
			}
			continue
		}
		next := d.source[i+1]
		for j := i + 2; strings.TrimSpace(next) == "" && j < len(d.source); j++ {
			next = d.source[j]
		}
		opens := strings.HasSuffix(t, ":") && !strings.HasPrefix(t, "#") || strings.HasSuffix(t, "{") ||
			strings.HasSuffix(t, "(") || strings.HasSuffix(t, "[")
		deeper := indent(next) > indent(line)
		if opens || deeper {
			all++
			if opens && !deeper && !strings.HasPrefix(strings.TrimSpace(next), "}") {
				bad++
			}
		}
	}
	share := float64(bad) / float64(max(all, 1))
	return part(Completeness, "code", ramp(share, 0.5, 0.2), "brackets match; %d of %d blocks are not indented", bad,
		all)
}

// unbalanced counts brackets outside strings and comments. wrong means that one was closed that was not open, and open
// is the number of brackets left open.
func unbalanced(lines []string) (wrong bool, open int) {
	var stack []byte
	pairs := map[byte]byte{')': '(', ']': '[', '}': '{'}
	for _, line := range lines {
		var quote byte
		for i := 0; i < len(line); i++ {
			c := line[i]
			switch {
			case quote != 0:
				if c == '\\' {
					i++
				} else if c == quote {
					quote = 0
				}
			case c == '"' || c == '`' || c == '\'' && (i == 0 || !isLetter(line[i-1:i])):
				quote = c
			case c == '#' && (i == 0 || line[i-1] == ' ') || c == '/' && i+1 < len(line) && line[i+1] == '/':
				i = len(line)
			case c == '(' || c == '[' || c == '{':
				stack = append(stack, c)
			case pairs[c] != 0:
				if len(stack) == 0 || stack[len(stack)-1] != pairs[c] {
					return true, len(stack)
				}
				stack = stack[:len(stack)-1]
			}
		}
	}
	return false, len(stack)
}

func indent(line string) int {
	n := 0
	for _, r := range line {
		switch r {
		case ' ':
			n++
		case '\t':
			n += 4
		default:
			return n
		}
	}
	return n
}
