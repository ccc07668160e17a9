// Package token turns text into Mixtral's token ids and back. It implements SentencePiece BPE as GGUF files describe
// it, incremental detokenisation, and the [INST] chat format.
//
// token.go holds the vocabulary and the Tokenizer: start there. encode.go goes from text to ids, decode.go from ids to
// text as they come, chat.go from a conversation to ids. match.go finds user-defined and control pieces in text, and
// split.go cuts a text at those that were added to the vocabulary. synthetic.go makes working vocabularies for
// synthetic models.
//
// Encoding follows SentencePiece (Kudo and Richardson 2018, https://arxiv.org/abs/1808.06226). Spaces become "▁"
// (U+2581). Neighbouring symbols merge as long as their concatenation is a piece: the highest score first, and the
// leftmost among equals. A character that is not a piece falls back to its UTF-8 bytes. Two rules are stricter here
// than elsewhere:
//
//   - Control, unknown and byte pieces never come out of text, not even out of text that spells "<s>" or "<0x41>".
//     EncodeSpecial and EncodeParts read control pieces, for callers that ask for it and for chat templates.
//   - Encoding loses nothing where the vocabulary has "▁" and all bytes. SentencePiece reads a literal "▁" as a space.
//     Here it falls back to bytes, so Decode gives back every valid UTF-8 string, and Piece every byte of an invalid
//     one.
package token
