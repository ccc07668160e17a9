// Package responses translates OpenAI's Responses API, /v1/responses, to chats and back: a request to the fields of a
// chat, and an answer's text and tool calls to response objects and events.
//
// request.go reads requests: start there. items.go turns items of a conversation into messages. answer.go writes
// response objects, and stream.go events. store.go keeps responses for requests that continue them.
package responses
