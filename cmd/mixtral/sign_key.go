package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

const envSignPassphrase = "MIXTRAL_SIGN_PASSPHRASE"

// passphraseTries is how often the user is asked: as often as ssh does.
const passphraseTries = 3

// openSigner opens a private key. The passphrase comes from the file or from the environment. If neither is set and
// the SSH agent cannot sign with the key, it comes from the terminal.
func openSigner(a *app, path, passphraseFile string) (*attest.Signer, error) {
	o := attest.SignerOptions{AgentSocket: a.getenv("SSH_AUTH_SOCK")}
	if passphraseFile != "" {
		data, err := bounded.File(passphraseFile, 64<<10)
		if err != nil {
			return nil, usageError(err)
		}
		o.Passphrase = func() ([]byte, error) { return bytes.TrimRight(data, "\r\n"), nil }
	} else if p := a.getenv(envSignPassphrase); p != "" {
		o.Passphrase = func() ([]byte, error) { return []byte(p), nil }
	}
	s, err := attest.ReadSigner(a.ctx, path, o)
	for try := 0; try < passphraseTries && o.Passphrase == nil && canAsk() &&
		(errors.Is(err, attest.ErrEncrypted) || errors.Is(err, attest.ErrPassphrase)); try++ {
		ask := o
		ask.Passphrase = func() ([]byte, error) { return askPassphrase(a, path) }
		s, err = attest.ReadSigner(a.ctx, path, ask)
	}
	switch {
	case err == nil:
		return s, nil
	case a.ctx.Err() != nil:
		return nil, exitWith(exitInterrupted)
	case errors.Is(err, attest.ErrEncrypted):
		err = withHint(err, "give its passphrase in "+envSignPassphrase+" or in a file, or add the key to the SSH "+
			"agent")
	}
	return nil, usageError(err)
}

// canAsk says whether there is a terminal, wherever the standard streams go.
func canAsk() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	return term.IsTerminal(int(tty.Fd()))
}

// askPassphrase reads a passphrase from the terminal without showing it. After an interrupt it restores the terminal.
func askPassphrase(a *app, path string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(tty, "passphrase of %s: ", visible(path))
	type answer struct {
		text []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		done <- answer{text, err}
	}()
	select {
	case got := <-done:
		fmt.Fprintln(tty)
		return got.text, got.err
	case <-a.ctx.Done():
		fmt.Fprintln(tty)
		return nil, errors.Join(a.ctx.Err(), term.Restore(fd, before))
	}
}
