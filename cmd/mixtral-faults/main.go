package main

import (
	"context"
	"encoding/json"
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

type listCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c listCmd) Run() error {
	all := faults.All()
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	for _, f := range all {
		fmt.Println(f)
	}
	return nil
}

type serveCmd struct {
	Fault string  `arg:"" help:"Name of the server, as list prints it."`
	Port  int     `default:"11500" help:"Port on 127.0.0.1 to serve on."`
	Seed  uint64  `default:"1" help:"Seed of everything that the server draws."`
	Speed float64 `default:"1" help:"Factor by which drift and leaks are faster than in life."`
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
