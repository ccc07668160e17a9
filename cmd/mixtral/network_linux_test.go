package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
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

var networks atomic.Int32

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
	w := &network{id: int(networks.Add(1))}
	for i := range n {
		tun, err := openTun(w.device(i))
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

func (w *network) device(i int) string { return fmt.Sprintf("mx%d-%d-%d", os.Getpid()%10000, w.id, i) }
func (w *network) name(i int) string   { return w.device(i) }
func (w *network) address(i int) string {
	return fmt.Sprintf("10.%d.%d.%d", 64+os.Getpid()%64, w.id, i+1)
}
func (w *network) cut(i int) { w.nodes[i].gone.Store(true) }

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
