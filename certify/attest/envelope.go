package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Limits of what is read. An attestation has about 5 kB.
const (
	maxEnvelope   = 1 << 20
	maxSignatures = 64
)

// ErrSignature matches errors about an attestation that none of the accepted keys has signed.
var ErrSignature = errors.New("signature not accepted")

// Envelope is a statement with its signatures (DSSE, version 1).
type Envelope struct {
	Statement *Statement
	signed    dsse.Envelope
}

// Sign makes an envelope with a statement and its first signature.
func Sign(ctx context.Context, s *Statement, by *Signer) (*Envelope, error) {
	payload, err := s.encode()
	if err != nil {
		return nil, err
	}
	signed, err := sign(ctx, payload, by)
	if err != nil {
		return nil, err
	}
	return &Envelope{Statement: s, signed: *signed}, nil
}

func sign(ctx context.Context, payload []byte, by *Signer) (*dsse.Envelope, error) {
	signer, err := dsse.NewEnvelopeSigner(by)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	signed, err := signer.SignPayload(ctx, PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("attest: sign: %w", err)
	}
	return signed, nil
}

// Add signs the same bytes with another key. It replaces an earlier signature with the same key.
func (e *Envelope) Add(ctx context.Context, by *Signer) error {
	payload, err := e.signed.DecodeB64Payload()
	if err != nil {
		return fmt.Errorf("attest: %w", err)
	}
	more, err := sign(ctx, payload, by)
	if err != nil {
		return err
	}
	var kept []dsse.Signature
	for _, s := range e.signed.Signatures {
		if s.KeyID != more.Signatures[0].KeyID {
			kept = append(kept, s)
		}
	}
	if len(kept) >= maxSignatures {
		return fmt.Errorf("attest: there are %d signatures already, at most %d are allowed", len(kept), maxSignatures)
	}
	e.signed.Signatures = append(kept, more.Signatures...)
	return nil
}

// Encode returns the envelope as it is in a file: one line of JSON.
func (e *Envelope) Encode() ([]byte, error) {
	data, err := json.Marshal(e.signed)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	return append(data, '\n'), nil
}

// ReadFile reads an attestation's file. See Parse for its errors.
func ReadFile(path string) (*Envelope, error) {
	data, err := ReadBytes(path)
	if err != nil {
		return nil, err
	}
	e, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

// ReadBytes reads the file of an attestation for Parse. It stops one byte after Parse's limit, so that Parse refuses a
// larger file.
func ReadBytes(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxEnvelope+1))
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	return data, nil
}

// Parse decodes an envelope. Errors match ErrFormat. It does not check the signatures; Check does.
func Parse(data []byte) (*Envelope, error) {
	if len(data) > maxEnvelope {
		return nil, fmt.Errorf("attest: %w: larger than %d bytes", ErrFormat, maxEnvelope)
	}
	var e Envelope
	if err := decodeOne(data, &e.signed); err != nil {
		return nil, fmt.Errorf("attest: %w: %w", ErrFormat, err)
	}
	if got := e.signed.PayloadType; got != PayloadType {
		return nil, fmt.Errorf("attest: %w: payloadType %.100q, must be %q", ErrFormat, got, PayloadType)
	}
	if n := len(e.signed.Signatures); n == 0 || n > maxSignatures {
		return nil, fmt.Errorf("attest: %w: %d signatures, must be 1 to %d", ErrFormat, n, maxSignatures)
	}
	payload, err := e.signed.DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("attest: %w: payload: %w", ErrFormat, err)
	}
	if err := decodeOne(payload, &e.Statement); err != nil {
		return nil, fmt.Errorf("attest: %w: payload: %w", ErrFormat, err)
	}
	switch s := e.Statement; {
	case s == nil:
		return nil, fmt.Errorf("attest: %w: payload: no statement", ErrFormat)
	case s.Type != StatementType:
		return nil, fmt.Errorf("attest: %w: _type %.100q, must be %q", ErrFormat, s.Type, StatementType)
	case s.PredicateType != PredicateType:
		return nil, fmt.Errorf("attest: %w: predicateType %.100q, must be %q", ErrFormat, s.PredicateType,
			PredicateType)
	}
	return &e, nil
}

// decodeOne decodes a JSON value with nothing after it.
func decodeOne(data []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(to); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the JSON value; one envelope is allowed")
	}
	return nil
}

// KeyIDs names the keys of all signatures, as the file claims them. They are not checked.
func (e *Envelope) KeyIDs() []string {
	ids := make([]string, len(e.signed.Signatures))
	for i, s := range e.signed.Signatures {
		ids[i] = s.KeyID
	}
	return ids
}

// Check returns those of the keys that have signed the envelope. If there is none, the error matches ErrSignature.
func (e *Envelope) Check(ctx context.Context, keys []Key) ([]Key, error) {
	var verifiers []dsse.Verifier
	byID := map[string]Key{}
	for _, k := range keys {
		if _, twice := byID[k.ID]; !twice { // a key that is listed twice counts once
			byID[k.ID] = k
			verifiers = append(verifiers, k)
		}
	}
	if len(verifiers) == 0 {
		return nil, fmt.Errorf("attest: %w: there is no key to check it with", ErrSignature)
	}
	v, err := dsse.NewEnvelopeVerifier(verifiers...)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	accepted, err := v.Verify(ctx, &e.signed)
	if err != nil {
		return nil, fmt.Errorf("attest: %w: %w", ErrSignature, err)
	}
	var by []Key
	for _, a := range accepted {
		by = append(by, byID[a.KeyID])
	}
	return by, nil
}
