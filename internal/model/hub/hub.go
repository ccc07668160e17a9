package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

var (
	// ErrRef is matched by errors about a name that is neither hf://owner/repo[/file][@revision] nor an https URL,
	// and about an address that a server must not send a client to.
	ErrRef = errors.New("unusable model source")
	// ErrNotFound is matched when the repository, revision or file does not exist, or is private and no token was
	// given.
	ErrNotFound = errors.New("not found")
	// ErrDenied is matched when the hub wants a token, or the token's owner has not accepted the model's terms.
	ErrDenied = errors.New("access denied")
	// ErrChoice is matched when a repository holds several models and none was named.
	ErrChoice = errors.New("more than one model file")
	// ErrChecksum is matched when what arrived is not what the hub says it is.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrChanged is matched when a file became another one on the server while it was downloaded.
	ErrChanged = errors.New("the file changed on the server")
	// ErrSpace is matched when the disk has no room for the file.
	ErrSpace = errors.New("not enough disk space")
	// ErrWrite is matched by other failures of this machine's disk.
	ErrWrite = errors.New("cannot write")
	// ErrAnswer is matched when a server's answer makes no sense, or exceeds a bound: another attempt cannot help.
	ErrAnswer = errors.New("unusable answer")
	// ErrOffline is matched when a request would be needed, and HF_HUB_OFFLINE forbids it.
	ErrOffline = errors.New("offline: HF_HUB_OFFLINE is set")
	// ErrTransfer is matched when a transfer failed more often than it may.
	ErrTransfer = errors.New("transfer failed")
)

// DefaultEndpoint serves hf:// names; HF_ENDPOINT overrides it.
const DefaultEndpoint = "https://huggingface.co"

// Progress says how far a transfer is.
type Progress struct {
	File    string
	Stage   string // "download", "verify"
	Done    int64  // bytes
	Total   int64
	Resumed int64 // of Done, found from an earlier attempt
}

// Client fetches files. The zero value of each field means what the comment says.
type Client struct {
	Endpoint    string         // DefaultEndpoint
	Token       string         // sent to Endpoint only, never to where it redirects
	Offline     bool           // every request fails with ErrOffline
	HTTP        *http.Client   // one that honours HTTPS_PROXY and NO_PROXY
	Connections int            // 4
	ChunkBytes  int64          // 32 MiB: what a cut costs at most, for each connection
	Attempts    int            // 8 failures in a row without progress end a transfer
	Silence     time.Duration  // 30 s: how long a server may send nothing, or next to nothing
	Progress    func(Progress) // not called; may be called by several goroutines at once
	Logger      *slog.Logger   // silent

	sleep func(context.Context, time.Duration) error // tests replace it
	once  sync.Once
	plain *http.Client
}

// CheckEndpoint tells whether a text can be Client.Endpoint.
func CheckEndpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return errors.New("must be http://host:port or https://host")
	}
	return nil
}

func (c *Client) endpoint() string {
	if c.Endpoint == "" {
		return DefaultEndpoint
	}
	return strings.TrimRight(c.Endpoint, "/")
}

func (c *Client) attempts() int {
	if c.Attempts > 0 {
		return c.Attempts
	}
	return 8
}

func (c *Client) silence() time.Duration {
	if c.Silence > 0 {
		return c.Silence
	}
	return 30 * time.Second
}

func (c *Client) log() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// client gives an HTTP client that shows redirects instead of following them.
func (c *Client) client() *http.Client {
	c.once.Do(func() {
		h := http.Client{}
		if c.HTTP != nil {
			h = *c.HTTP
		} else {
			h.Transport = &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: c.silence(), KeepAlive: 30 * time.Second}).DialContext,
				TLSHandshakeTimeout:    c.silence(),
				ForceAttemptHTTP2:      true,
				MaxIdleConnsPerHost:    16,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 1 << 20, // signed URLs take some kB
			}
		}
		h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		c.plain = &h
	})
	return c.plain
}

// Close drops idle connections.
func (c *Client) Close() { c.client().CloseIdleConnections() }
