// Package gguf reads and writes GGUF model files: typed metadata and named tensors (the GGUF specification, versions 2
// and 3, little-endian).
//
// gguf.go has File and Tensor: start there. open.go opens a file, cursor.go and meta.go decode its header, writer.go
// writes a file from front to back. map_*.go map files into memory, and cache_*.go advise the system's page cache.
// fault.go makes an error of reading a part of a file that was cut off.
//
// A file is mapped, not read: a tensor's Data points into the mapping, so a model that is larger than memory still
// opens at once. Every count and offset is checked against the file's size before anything is allocated. A hostile
// file causes an error and costs at most a small multiple of its own size.
package gguf
