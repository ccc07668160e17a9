package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// network simulates machines in network namespaces, each with one interface. This process passes the packets on
// between them, with a delay and with losses. Kernels without netem can do this too.
type network struct {
	id    int
	nodes []*node
}

// node is one machine's interface.
type node struct {
	tun   *os.File
	queue chan packet
	gone  atomic.Bool
}

type packet struct {
	data []byte
	at   time.Time
}

// newNetwork makes n nodes; node 0 is this machine itself. Each packet is delayed, and some are lost.
func newNetwork(t *testing.T, n int, delay time.Duration, loss float64) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		need.Missing(t, "namespaces of the network need root")
	}
	for _, tool := range []string{"ip", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			need.Missing(t, "namespaces of the network need %s (iproute2, util-linux)", tool)
		}
	}
	w := &network{}
	for i := range n {
		tun, err := w.claim(t, i)
		if err != nil {
			need.Missing(t, "no TUN devices here: %v", err)
		}
		t.Cleanup(func() { tun.Close() })
		x := &node{tun: tun, queue: make(chan packet, 1<<14)}
		w.nodes = append(w.nodes, x)
		w.set(t, i)
	}
	for i, x := range w.nodes {
		go w.read(i, delay, loss)
		go x.write()
	}
	return w
}

func (w *network) device(i int) string { return fmt.Sprintf("mx%d-%d", w.id, i) }
func (w *network) name(i int) string   { return w.device(i) }
func (w *network) cut(i int)           { w.nodes[i].gone.Store(true) }

// address is in the range for tests of networks, 198.18.0.0/15 (RFC 2544).
func (w *network) address(i int) string {
	return fmt.Sprintf("198.%d.%d.%d", 18+w.id/256, w.id%256, i+1)
}

// claim makes a node's device. That of node 0 chooses the network: the first that no interface and no route of this
// machine has, and whose name is free. Other tests cannot choose the same one as long as the device is open.
func (w *network) claim(t *testing.T, i int) (*os.File, error) {
	t.Helper()
	if i > 0 {
		return openTun(w.device(i))
	}
	var taken []netip.Prefix
	for _, args := range [][]string{{"-4", "-o", "addr"}, {"-4", "route", "show", "table", "all"}} {
		out, err := exec.Command("ip", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.Fields(string(out)) {
			if !strings.Contains(word, "/") {
				word += "/32"
			}
			// not the routes to everywhere else
			if p, err := netip.ParsePrefix(word); err == nil && p.Bits() >= 8 {
				taken = append(taken, p)
			}
		}
	}
	for ; w.id < 512; w.id++ {
		if slices.ContainsFunc(taken, netip.MustParsePrefix(w.address(0)+"/24").Overlaps) {
			continue
		}
		if tun, err := openTun(w.device(0)); !errors.Is(err, unix.EBUSY) {
			return tun, err
		}
	}
	t.Fatal("every network is taken")
	return nil, nil
}

// openTun makes a device whose packets this process reads and writes.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// set sets a node's namespace, address and route.
func (w *network) set(t *testing.T, i int) {
	t.Helper()
	device, in := w.device(i), []string{}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	if i > 0 {
		_ = exec.Command("ip", "netns", "del", w.name(i)).Run() // what a killed test has left
		run("ip", "netns", "add", w.name(i))
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", w.name(i)).Run() })
		run("ip", "link", "set", device, "netns", w.name(i))
		in = []string{"ip", "netns", "exec", w.name(i)}
		run(append(in, "ip", "link", "set", "lo", "up")...)
	}
	run(append(in, "ip", "addr", "add", w.address(i)+"/24", "dev", device)...)
	run(append(in, "ip", "link", "set", device, "up")...)
}

// read takes the packets that a node sends and puts them into the queues of their destinations.
func (w *network) read(i int, delay time.Duration, loss float64) {
	rng := rand.New(rand.NewPCG(uint64(i), 7))
	buffer := make([]byte, 1<<16)
	for {
		n, err := w.nodes[i].tun.Read(buffer)
		if err != nil {
			return
		}
		b := buffer[:n]
		if n < 20 || b[0]>>4 != 4 || rng.Float64() < loss || w.nodes[i].gone.Load() {
			continue
		}
		to := int(b[19]) - 1
		if to < 0 || to >= len(w.nodes) || w.nodes[to].gone.Load() {
			continue
		}
		select {
		case w.nodes[to].queue <- packet{append([]byte(nil), b...), time.Now().Add(delay)}:
		default: // as a full queue does it
		}
	}
}

// write delivers a node's packets when their time has come.
func (x *node) write() {
	for p := range x.queue {
		time.Sleep(time.Until(p.at))
		if _, err := x.tun.Write(p.data); err != nil {
			return
		}
	}
}
