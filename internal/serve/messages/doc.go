// Package messages translates Anthropic's Messages API, /v1/messages, to chats and back: a request to the fields of a
// chat, an answer's text and tool calls to messages and events, and errors to Anthropic's form.
//
// request.go reads requests: start there. answer.go writes messages and their events, and errors.go writes errors.
package messages
