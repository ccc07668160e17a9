// Package leak fails tests whose goroutines stay behind, and gives those that are about to end the time that a busy
// machine needs. leak.go is all of it; a package uses it so:
//
//	func TestMain(m *testing.M) { leak.Main(m) }
package leak
