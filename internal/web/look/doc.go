// Package look has the look of every page of the console and the headers with which it is sent: the style sheet in the
// visual language of the report, and the security headers.
//
// look.css has the report's palette, light and dark, and the parts that pages share. File in look.go sends a file from
// memory with its headers; start reading there.
package look
