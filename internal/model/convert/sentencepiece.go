package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
)

// errProto is matched by errors about bytes that are not a protocol buffer.
var errProto = errors.New("not a SentencePiece model")

// Wire types of protocol buffers (https://protobuf.dev/programming-guides/encoding).
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// protoField is one field of a message.
type protoField struct {
	number uint64
	wire   uint64
	value  uint64 // of varint, fixed32 and fixed64
	bytes  []byte // of wireBytes; part of the message
}

// eachField calls f for every field of a message.
func eachField(msg []byte, f func(protoField) error) error {
	for len(msg) > 0 {
		tag, n := binary.Uvarint(msg)
		if n <= 0 || tag>>3 == 0 {
			return fmt.Errorf("%w: bad tag", errProto)
		}
		msg = msg[n:]
		x := protoField{number: tag >> 3, wire: tag & 7}
		switch x.wire {
		case wireVarint:
			if x.value, n = binary.Uvarint(msg); n <= 0 {
				return fmt.Errorf("%w: field %d: bad number", errProto, x.number)
			}
		case wireFixed64, wireFixed32:
			n = 8
			if x.wire == wireFixed32 {
				n = 4
			}
			if len(msg) < n {
				return fmt.Errorf("%w: field %d: cut short", errProto, x.number)
			}
			if n == 8 {
				x.value = binary.LittleEndian.Uint64(msg)
			} else {
				x.value = uint64(binary.LittleEndian.Uint32(msg))
			}
		case wireBytes:
			size, k := binary.Uvarint(msg)
			if k <= 0 || size > uint64(len(msg)-k) {
				return fmt.Errorf("%w: field %d: %d bytes of %d", errProto, x.number, size, len(msg))
			}
			n = k + int(size)
			x.bytes = msg[k:n]
		default:
			return fmt.Errorf("%w: field %d: wire type %d", errProto, x.number, x.wire)
		}
		if err := f(x); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}

const modelBPE = 2 // TrainerSpec.ModelType

// parseSentencePiece reads tokenizer.model: SentencePiece's ModelProto (sentencepiece_model.proto). Fields that
// change nothing here are skipped.
func parseSentencePiece(data []byte) (token.Spec, error) {
	s := token.Spec{UNK: 0, BOS: 1, EOS: 2, AddBOS: true, AddSpacePrefix: true} // the format's defaults
	kind := uint64(1)                                                           // unigram
	err := eachField(data, func(x protoField) error {
		if x.wire != wireBytes {
			return nil
		}
		switch x.number {
		case 1:
			return addPiece(&s, x.bytes)
		case 2: // trainer_spec
			return eachField(x.bytes, func(y protoField) error {
				if y.wire != wireVarint {
					return nil
				}
				switch y.number {
				case 3:
					kind = y.value
				case 24:
					if y.value != 0 {
						return fmt.Errorf("%w: trainer_spec: treat_whitespace_as_suffix is set, which is not "+
							"supported", errProto)
					}
				case 40:
					s.UNK = int32(y.value) // −1, none, is a varint of ten bytes
				case 41:
					s.BOS = int32(y.value)
				case 42:
					s.EOS = int32(y.value)
				}
				return nil
			})
		case 3: // normalizer_spec
			return normalizerSpec(x.bytes, &s)
		}
		return nil
	})
	switch {
	case err != nil:
		return s, err
	case len(s.Pieces) == 0:
		return s, fmt.Errorf("%w: it has no pieces", errProto)
	case kind != modelBPE:
		return s, fmt.Errorf("%w: the model type must be BPE (%d), got %d", errProto, modelBPE, kind)
	}
	return s, nil
}

// maxPieces bounds a vocabulary, as a piece of two bytes becomes one of dozens. The largest that are published have
// 260,000.
const maxPieces = 1 << 20

func addPiece(s *token.Spec, msg []byte) error {
	if len(s.Pieces) == maxPieces {
		return fmt.Errorf("%w: it has more than %d pieces", errProto, maxPieces)
	}
	piece, score, typ := "", float32(0), token.TypeNormal
	err := eachField(msg, func(x protoField) error {
		switch {
		case x.number == 1 && x.wire == wireBytes:
			piece = string(x.bytes)
		case x.number == 2 && x.wire == wireFixed32:
			score = math.Float32frombits(uint32(x.value))
		case x.number == 3 && x.wire == wireVarint:
			typ = int32(min(x.value, math.MaxInt32))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("piece %d: %w", len(s.Pieces), err)
	}
	s.Pieces, s.Scores, s.Types = append(s.Pieces, piece), append(s.Scores, score), append(s.Types, typ)
	return nil
}
