// Command mixtral-faults serves a server of the bank that the certifier is tried on: a healthy one, or one with a
// planted fault. `mixtral certify --target` shows what the certifier makes of it; other tools can be tried on it too.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

type cli struct {
	Serve serveCmd `cmd:"" help:"Serve one of the bank's servers."`
	List  listCmd  `cmd:"" help:"List the bank."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("mixtral-faults"),
		kong.Description("Servers with planted faults, to try certifiers on."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "mixtral-faults:", err)
		os.Exit(1)
	}
}

type listCmd struct{}

func (listCmd) Run() error {
	for _, f := range append(faults.HealthyOnes(), faults.Planted()...) {
		fmt.Println(f)
	}
	return nil
}

type serveCmd struct {
	Fault string  `arg:"" help:"A name that list prints."`
	Port  int     `default:"11500" help:"On 127.0.0.1."`
	Seed  uint64  `default:"1"`
	Speed float64 `default:"1" help:"How much faster than in life drift and leak happen."`
}

func (c serveCmd) Run(ctx context.Context) error {
	f, err := faults.Parse(c.Fault)
	if err != nil {
		return err
	}
	s := faults.New(faults.Config{Fault: f, Seed: c.Seed, Speed: c.Speed})
	defer s.Close()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.Port))
	if err != nil {
		return err
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		h.Close()
	}()
	fmt.Printf("%s serves at http://%s\n", f, l.Addr())
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
