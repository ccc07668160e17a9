package gguf

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"unsafe"
)

// mappings are the parts of memory that are files. A read there fails when the file was cut meanwhile, or its disk
// does not answer.
var mappings struct {
	sync.Mutex
	list []mapping
}

type mapping struct {
	path       string
	start, end uintptr
}

// register notes a mapping until the function that it gives is called.
func register(path string, data []byte) (unregister func()) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	m := mapping{path, start, start + uintptr(len(data))}
	mappings.Lock()
	defer mappings.Unlock()
	mappings.list = append(mappings.list, m)
	return func() {
		mappings.Lock()
		defer mappings.Unlock()
		if i := slices.Index(mappings.list, m); i >= 0 {
			mappings.list = slices.Delete(mappings.list, i, i+1)
		}
	}
}

// Fault gives the error of a panic that came of reading a file's mapping, which matches ErrChanged and names the file;
// nil for every other panic. Only goroutines that called debug.SetPanicOnFault(true) panic then; in others the process
// ends at once.
func Fault(panicked any) error {
	fault, ok := panicked.(interface{ Addr() uintptr })
	if !ok {
		return nil
	}
	return unreadable(fault.Addr())
}

// unreadable is the error of a file that has lost what was at an address; nil where no file was.
func unreadable(at uintptr) error {
	mappings.Lock()
	defer mappings.Unlock()
	for _, m := range mappings.list {
		if m.start <= at && at < m.end {
			return fmt.Errorf("%w: %s: a part of it can no longer be read: it was cut or rewritten, or its disk fails",
				ErrChanged, m.path)
		}
	}
	return nil
}

// Catch makes an error of a panic that came of reading a file's mapping: defer gguf.Catch(&err)() at the beginning of
// a function whose goroutine reads files that others may change.
func Catch(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		r := recover()
		if r == nil {
			return
		}
		fault := Fault(r)
		if fault == nil {
			panic(r)
		}
		*err = fault
	}
}
