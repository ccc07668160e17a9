package moe

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// A packed file has the matrices as the kernels compute with them (kernel.Matrix), so a model is where its file is
// mapped, and a start copies nothing. It is GGUF with everything that other programs go by changed, because what they
// would compute from it is garbage: general.architecture, the names of the matrices (.panels for .weight), and rows
// filled up to whole panels. Metadata, embeddings, norms and routers are as they were.
const (
	plainArchitecture = "llama" // under which GGUF files hold Mixtral
	keyArchitecture   = "general.architecture"
	keyLayout         = kernel.FileLayout + ".layout" // which order of panels

	plainSuffix = ".weight"
	panelSuffix = ".panels"
	tiedPanels  = "token_embd" + panelSuffix // the output matrix where the file has none of its own
)

// IsPacked tells whether a file's matrices are in the order of the kernels.
func IsPacked(f *gguf.File) bool { return f.StringOr(keyArchitecture, "") == kernel.FileLayout }

// checkLayout refuses files of another order.
func checkLayout(f *gguf.File) error {
	v, err := f.Uint32(keyLayout)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrModel, err)
	}
	for _, t := range f.Tensors() {
		if !kernel.ReadsLayout(v, t.Type) {
			return fmt.Errorf("%w: %s is %d, and this program computes with %d: pack the original again (mixtral "+
				"model pack)", ErrModel, keyLayout, v, kernel.LayoutVersion)
		}
	}
	return nil
}

// name gives the file's name of a matrix.
func (l *loader) name(matrix string) string {
	if l.packed {
		return matrix + panelSuffix
	}
	return matrix + plainSuffix
}

// rowsInFile is how many rows a matrix of so many has in the file.
func (l *loader) rowsInFile(rows int) int {
	if l.packed {
		return paddedRows(rows)
	}
	return rows
}

func paddedRows(rows int) int {
	return (rows + kernel.RowAlign - 1) / kernel.RowAlign * kernel.RowAlign
}

// panels gives a packed file's matrices by tensor: of a stacked one, all experts in order.
func (l *loader) panels() map[string][]*job {
	if !l.packed {
		return nil
	}
	return l.matrices()
}

// matrices gives all matrices by tensor.
func (l *loader) matrices() map[string][]*job {
	all := make(map[string][]*job, len(l.todo))
	for _, j := range l.todo {
		if j.to != nil {
			all[j.name] = append(all[j.name], j)
		}
	}
	return all
}

// populateBytes is how much of a file is populated at once: several huge pages, and few enough for workers to share a
// small model.
const populateBytes = 16 << 20

// adopt has the matrices be where the file has them, and brings their pages in.
func (l *loader) adopt(crew *kernel.Crew) (err error) {
	for _, j := range l.todo {
		if j.to == nil {
			l.embed = j.data
		} else if j.mat, err = kernel.NewMatrix(j.typ, j.rows, j.cols, j.data); err != nil {
			return fmt.Errorf("%w: tensor %s: %w", ErrModel, j.name, err)
		} else {
			*j.to = j.mat
		}
	}
	return l.populate(crew)
}

// populate brings the pages of all matrices in.
func (l *loader) populate(crew *kernel.Crew) error {
	var todo [][]byte
	for _, j := range l.todo {
		for rest := j.data; len(rest) > 0; {
			n := min(len(rest), populateBytes)
			todo, rest = append(todo, rest[:n]), rest[n:]
		}
	}
	var failed atomic.Pointer[error]
	crew.Run(1, func(int) int { return len(todo) }, func(_, _, from, to int) {
		for _, data := range todo[from:to] {
			if err := l.file.Populate(data); err != nil {
				failed.Store(&err)
			}
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// plainName gives the name that a matrix has in a file that is not packed.
func plainName(name string) string { return strings.TrimSuffix(name, panelSuffix) + plainSuffix }

// panelName gives the name that a matrix has in a packed file.
func panelName(name string) string { return strings.TrimSuffix(name, plainSuffix) + panelSuffix }
