// Command mixtral-faults certifies the certifier: it runs it against a bank of servers with one planted fault each, and
// against healthy ones, and prints how often each verdict is right. It can also serve one of them, to try other tools on.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/hxp-enterprise/mixtral/internal/faults"
)

type cli struct {
	Serve serveCmd `cmd:"" help:"Serve one of the bank's servers."`
	List  listCmd  `cmd:"" help:"List the bank."`
	Bank  bankCmd  `cmd:"" help:"Certify every server of the bank, many times, and print the detection and false-alarm rates."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("mixtral-faults"), kong.Description("Servers with planted faults, and what the certifier makes of them."),
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

// pick reads --only; empty means all.
func pick(only string) ([]faults.Fault, error) {
	if only == "" {
		return append(faults.HealthyOnes(), faults.Planted()...), nil
	}
	var list []faults.Fault
	for name := range strings.SplitSeq(only, ",") {
		f, err := faults.Parse(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}
