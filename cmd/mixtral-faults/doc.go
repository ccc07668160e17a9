// Command mixtral-faults serves one of the servers that the certifier is tried on: a healthy one, or one with a
// planted fault. `mixtral certify --target` shows what the certifier makes of it; other tools can be tried on it too.
//
// main.go is all of it. The servers themselves are in internal/certify/faults.
package main
