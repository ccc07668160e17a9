// A program that uses the same version of the module as its neighbour, but nothing of it that is vulnerable.
package main

import (
	"fmt"

	"golang.org/x/text/language"
)

func main() { fmt.Println(language.English) }
