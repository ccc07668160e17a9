// Package verifypage makes and serves the page that verifies reports in a browser: one HTML file that contains the
// judge as WebAssembly and sends nothing anywhere.
//
// verifypage.go puts the file together and serves it; page.html, page.css and page.js are what the user sees, and
// worker.js runs the judge in the background. Start reading at Page.
package verifypage
