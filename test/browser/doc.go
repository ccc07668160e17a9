// Package browser opens pages in a real Chromium for the tests of everything that people look at.
//
// browser.go starts Chromium and opens tabs: start reading at Tab. picture.go keeps pictures of pages, audit.go checks
// what people need who cannot see well or use no mouse, keys.go walks over a page with the Tab key, and measure.go asks
// Chromium for times, layout shifts and memory.
package browser
