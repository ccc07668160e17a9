// Package chat is the console of mixtral serve: web pages for a chat, for the present state of the server and for the
// tokens of a text.
//
// The pages are templates in assets. They are filled once when the program starts, and contain no data of the service:
// their scripts request it from the API, with the key that the user has entered. A script never makes markup from
// text; it makes elements and sets their text. chat.go has the paths. Of the scripts, common.js has what all pages
// share, chat.js the conversation, answer.js the display of one answer, and keep.js what the browser stores. Start
// with Pages in chat.go.
package chat
