package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/serve/service"
)

// hostOf returns the host of the ADDRESS:PORT that a flag sets.
func hostOf(flag, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return "", usageError(fmt.Errorf("--%s: must be address:port, got %q", flag, address))
	}
	return host, nil
}

// listen opens the address that a flag sets.
func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	if _, err := hostOf(flag, address); err != nil {
		return nil, err
	}
	l, err := service.Listen(ctx, flag, address)
	if err != nil {
		return nil, listenError(fmt.Errorf("--%s: %w", flag, err))
	}
	return l, nil
}

// listenError adds to an error of listening its exit code, and a hint with the flag that sets the address.
func listenError(err error) error {
	flag := "--port"
	var at *mixtral.ListenError
	if errors.As(err, &at) {
		flag = "--" + strings.ReplaceAll(at.Key, "_", "-")
	}
	hint := "it must be an address of this machine"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there: stop it, or choose another port with " + flag + " (0 for any free one)"
	case errors.Is(err, syscall.EACCES):
		hint = "ports below 1024 need privileges: choose a higher one with " + flag
	}
	return setupError(withHint(err, hint))
}

// checkPair checks the two flags of a certificate.
func checkPair(certificate, key string) error {
	if (certificate == "") != (key == "") {
		return usageError(errors.New("--tls-cert-file and --tls-key-file: must be given together"))
	}
	return nil
}
