// Package chat is the console of mixtral serve: web pages for a chat, for what the server does now and for text as
// tokens.
//
// The pages are templates in assets, filled once when the program starts, and hold nothing of the service's: what they
// show their scripts ask the API for, with the key that the user has given. A script never makes markup of text; it
// makes elements and sets their text. chat.go has the paths; of the scripts, common.js has what all pages share,
// chat.js the conversation, answer.js how one answer is shown, keep.js what the browser keeps. Start with Pages in
// chat.go.
package chat
