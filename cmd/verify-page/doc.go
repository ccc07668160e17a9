// Command verify-page writes one HTML file that verifies certification reports in a browser.
//
// main.go writes the file. It compiles this same command for GOOS=js GOARCH=wasm, where judge_js.go is the program
// that runs in the page. Start reading at main.
package main
