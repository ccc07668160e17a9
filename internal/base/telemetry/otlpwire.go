package telemetry

import (
	"encoding/binary"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The messages of opentelemetry/proto/collector/trace/v1, trace/v1, common/v1 and resource/v1, as far as our spans use
// them. The field numbers are those of the .proto files; a test in test/otel reads the result with the published
// types.

// appendSpans appends an ExportTraceServiceRequest. All spans of a provider have one resource and one scope.
func appendSpans(b []byte, spans []sdktrace.ReadOnlySpan) []byte {
	return message(b, 1, func(b []byte) []byte { // ResourceSpans
		b = message(b, 1, func(b []byte) []byte { return appendResource(b, spans[0].Resource()) })
		return message(b, 2, func(b []byte) []byte { // ScopeSpans
			b = message(b, 1, func(b []byte) []byte { return text(b, 1, spans[0].InstrumentationScope().Name) })
			for _, s := range spans {
				b = message(b, 2, func(b []byte) []byte { return appendSpan(b, s) })
			}
			return b
		})
	})
}

func appendResource(b []byte, r *resource.Resource) []byte {
	for _, a := range r.Attributes() {
		b = message(b, 1, func(b []byte) []byte { return appendAttribute(b, a) })
	}
	return b
}

// Bits of Span.flags besides those of the W3C: whether it is known that the parent is in another process, and whether
// it is.
const (
	flagHasRemote = 1 << 8
	flagRemote    = 1 << 9
)

func appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	sc, parent := s.SpanContext(), s.Parent()
	traceID, spanID := sc.TraceID(), sc.SpanID()
	b = data(b, 1, traceID[:])
	b = data(b, 2, spanID[:])
	b = text(b, 3, sc.TraceState().String())
	if parent.SpanID().IsValid() {
		id := parent.SpanID()
		b = data(b, 4, id[:])
	}
	b = text(b, 5, s.Name())
	b = number(b, 6, wireKind(s.SpanKind()))
	b = moment(b, 7, s.StartTime())
	b = moment(b, 8, s.EndTime())
	for _, a := range s.Attributes() {
		b = message(b, 9, func(b []byte) []byte { return appendAttribute(b, a) })
	}
	b = number(b, 10, uint64(s.DroppedAttributes()))
	if st := s.Status(); st.Code != codes.Unset {
		b = message(b, 15, func(b []byte) []byte {
			code := uint64(1) // ok
			if st.Code == codes.Error {
				code = 2
			}
			return number(text(b, 2, st.Description), 3, code)
		})
	}
	flags := uint32(sc.TraceFlags()) | flagHasRemote
	if parent.IsRemote() {
		flags |= flagRemote
	}
	return binary.LittleEndian.AppendUint32(tag(b, 16, wireFixed32), flags)
}

// wireKind returns a kind's number in the protocol; the API numbers them differently.
func wireKind(k trace.SpanKind) uint64 {
	switch k {
	case trace.SpanKindServer:
		return 2
	case trace.SpanKindClient:
		return 3
	}
	return 1 // internal
}

// appendAttribute appends a KeyValue.
func appendAttribute(b []byte, a attribute.KeyValue) []byte {
	b = text(b, 1, string(a.Key))
	return message(b, 2, func(b []byte) []byte { return appendValue(b, a.Value) })
}

// appendValue appends an AnyValue. Types that our attributes do not use are written as text.
func appendValue(b []byte, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.BOOL:
		n := uint64(0)
		if v.AsBool() {
			n = 1
		}
		return varint(tag(b, 2, wireVarint), n) // zeros too: a oneof must be set
	case attribute.INT64:
		return varint(tag(b, 3, wireVarint), uint64(v.AsInt64()))
	case attribute.FLOAT64:
		return binary.LittleEndian.AppendUint64(tag(b, 4, wireFixed64), math.Float64bits(v.AsFloat64()))
	case attribute.STRINGSLICE:
		return message(b, 5, func(b []byte) []byte {
			for _, s := range v.AsStringSlice() {
				b = message(b, 1, func(b []byte) []byte { return data(b, 1, []byte(s)) })
			}
			return b
		})
	}
	return data(b, 1, []byte(v.String()))
}

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func varint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func tag(b []byte, field, wire uint64) []byte { return varint(b, field<<3|wire) }

func number(b []byte, field, v uint64) []byte {
	if v == 0 {
		return b
	}
	return varint(tag(b, field, wireVarint), v)
}

func moment(b []byte, field uint64, t time.Time) []byte {
	return binary.LittleEndian.AppendUint64(tag(b, field, wireFixed64), uint64(t.UnixNano()))
}

func data(b []byte, field uint64, v []byte) []byte {
	return append(varint(tag(b, field, wireBytes), uint64(len(v))), v...)
}

func text(b []byte, field uint64, v string) []byte {
	if v == "" {
		return b
	}
	return append(varint(tag(b, field, wireBytes), uint64(len(v))), v...)
}

// message appends its length and what fill appends. The length is known only afterwards: it gets five bytes, which
// readers accept like fewer, so that nothing has to be moved.
func message(b []byte, field uint64, fill func([]byte) []byte) []byte {
	const room = 5 // bytes of a varint up to 2³⁵
	b = append(tag(b, field, wireBytes), make([]byte, room)...)
	at := len(b)
	b = fill(b)
	n := uint64(len(b) - at)
	for i := range room - 1 {
		b[at-room+i] = byte(n) | 0x80
		n >>= 7
	}
	b[at-1] = byte(n)
	return b
}
