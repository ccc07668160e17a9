package attest

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentTime is how long an agent may take to answer. It may ask its user for consent.
const agentTime = time.Minute

// agentSigner returns a signer that lets an SSH agent sign with one of its keys.
func agentSigner(key Key, socket string) (*Signer, error) {
	if socket == "" {
		return nil, fmt.Errorf("attest: %w: it is the public half, and there is no SSH agent to sign for it "+
			"(SSH_AUTH_SOCK is not set)", ErrKey)
	}
	public, err := ssh.NewPublicKey(key.public)
	if err != nil {
		return nil, fmt.Errorf("attest: %w: %w", ErrKey, err)
	}
	var flags agent.SignatureFlags
	if public.Type() == ssh.KeyAlgoRSA {
		flags = agent.SignatureFlagRsaSha256 // without this flag the agent uses SHA-1
	}
	s := &Signer{key: key, sign: func(ctx context.Context, message []byte) ([]byte, error) {
		var signature []byte
		err := withAgent(ctx, socket, func(a agent.ExtendedAgent) error {
			sig, err := a.SignWithFlags(public, message, flags)
			if err == nil {
				signature, err = rawSignature(sig)
			}
			return err
		})
		return signature, err
	}}
	return s, withAgent(context.Background(), socket, func(a agent.ExtendedAgent) error {
		held, err := a.List()
		if err != nil {
			return err
		}
		for _, k := range held {
			if ssh.FingerprintSHA256(k) == key.ID {
				return nil
			}
		}
		return fmt.Errorf("the SSH agent has no key %s; ssh-add adds one", key.ID)
	})
}

// withAgent connects to the agent and calls talk.
func withAgent(ctx context.Context, socket string, talk func(agent.ExtendedAgent) error) error {
	ctx, cancel := context.WithTimeout(ctx, agentTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("attest: SSH agent: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := talk(agent.NewClient(conn)); err != nil {
		return fmt.Errorf("attest: SSH agent: %w", errors.Join(ctx.Err(), err))
	}
	return nil
}

// rawSignature removes SSH's framing from a signature.
func rawSignature(s *ssh.Signature) ([]byte, error) {
	switch s.Format {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoRSASHA256:
		return s.Blob, nil
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		var point struct{ R, S *big.Int }
		if err := ssh.Unmarshal(s.Blob, &point); err != nil {
			return nil, err
		}
		return asn1.Marshal(point)
	}
	return nil, fmt.Errorf("signatures of type %s are not understood", s.Format)
}
