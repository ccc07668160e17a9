// A program that calls a function with a known vulnerability: GO-2021-0113, mended in golang.org/x/text v0.3.7.
package main

import (
	"fmt"
	"os"

	"golang.org/x/text/language"
)

func main() { fmt.Println(language.Parse(os.Args[1])) }
