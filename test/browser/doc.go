// Package browser opens pages in a real Chromium for the tests of everything that people look at.
//
// browser.go starts Chromium and opens tabs: start reading at Tab. picture.go keeps pictures of pages, audit.go checks
// what people need who cannot see well or use no mouse, keys.go walks over a page with the Tab key, measure.go asks
// Chromium for times, layout shifts and memory, and hostile.go has texts that no page may take for markup.
package browser
