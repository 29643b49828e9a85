package icap

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/tx"
)

// plain is an engine that costs nothing: it looks at the prefix and forwards.
type plain struct{}

func (p plain) Begin(context.Context, *tx.Transaction) tx.Judge { return p }
func (plain) End(tx.Delivery)                                   {}
func (plain) Head(context.Context) tx.Verdict                   { return tx.Verdict{Action: tx.Inspect} }
func (plain) Body(_ context.Context, b tx.Body) tx.Verdict {
	if _, whole := b.Prefix(); !whole {
		return tx.Verdict{Action: tx.Block}
	}
	if _, err := b.All(context.Background(), 1<<20); err != nil {
		return tx.Verdict{Action: tx.Block}
	}
	return tx.Verdict{Action: tx.Forward}
}

var identityLines = "X-Client-IP: 192.0.2.7\r\nX-Client-Username: anna\r\nX-Authenticated-Groups: QUJDRA==, RUZHSA==\r\nAllow: 204\r\n"

func speedCases() map[string]string {
	return map[string]string{
		"reqmod":  reqmodHead("/index.html?q=1", identityLines, "null-body"),
		"respmod": respmodHead("/index.html?q=1", identityLines+"Preview: 1024\r\n", "res-body") + chunked(strings.Repeat("x", 1000), 1000, "0; ieof"),
	}
}

// startPlain serves the plain engine on network and returns a connection to it.
func startPlain(t testing.TB, network string) net.Conn {
	t.Helper()
	s, err := NewServer(plain{}, testStore(t), testConfig())
	if err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = t.TempDir() + "/icap.sock"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// roundTrip sends request and reads an answer of the length that the first
// answer had, which is how the tests know without parsing.
func roundTrip(t testing.TB, c net.Conn, request, buf []byte) {
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
}

func firstAnswer(t testing.TB, c net.Conn, request string) []byte {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "ICAP/1.0 204 ") || !strings.HasSuffix(string(buf[:n]), "\r\n\r\n") {
		t.Fatalf("answer %q, %v", buf[:n], err)
	}
	return buf[:n]
}

func TestKeepAlive204DoesNotAllocate(t *testing.T) {
	for name, request := range speedCases() {
		t.Run(name, func(t *testing.T) {
			c := startPlain(t, "tcp")
			buf := firstAnswer(t, c, request)
			raw := []byte(request)
			for range 100 {
				roundTrip(t, c, raw, buf)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			const n = 10_000
			for range n {
				roundTrip(t, c, raw, buf)
			}
			runtime.ReadMemStats(&after)
			if mallocs := after.Mallocs - before.Mallocs; !raceEnabled && mallocs > n/100 {
				t.Errorf("%d allocations in %d exchanges, want none", mallocs, n)
			}
		})
	}
}

func BenchmarkKeepAlive204(b *testing.B) {
	for _, network := range []string{"tcp", "unix"} {
		for name, request := range speedCases() {
			b.Run(network+"/"+name, func(b *testing.B) {
				c := startPlain(b, network)
				buf := firstAnswer(b, c, request)
				raw := []byte(request)
				b.ReportAllocs()
				for b.Loop() {
					roundTrip(b, c, raw, buf)
				}
			})
		}
	}
}

// BenchmarkPipelined204 has 32 requests on the wire at a time.
func BenchmarkPipelined204(b *testing.B) {
	for name, request := range speedCases() {
		b.Run(name, func(b *testing.B) {
			c := startPlain(b, "tcp")
			buf := make([]byte, 32*len(firstAnswer(b, c, request)))
			raw := []byte(strings.Repeat(request, 32))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%32 == 0 {
					roundTrip(b, c, raw, buf)
				}
			}
		})
	}
}
