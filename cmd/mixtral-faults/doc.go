// Command mixtral-faults runs one of the servers that test the certifier: a healthy one, or one with a planted fault.
//
// `mixtral certify --target` shows what the certifier finds; other tools can be tried on it too.
//
// main.go is all of it. The servers themselves are in internal/certify/faults.
package main
