package icap

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAbortsLeaveNothing breaks connections at every byte of a set of exchanges
// that reach every state of the protocol, by an orderly close and by a reset.
func TestAbortsLeaveNothing(t *testing.T) {
	n := start(t, func(c *Config) { c.StartSending = StartSending{Enabled: true, After: time.Millisecond, Rate: 1 << 20} })
	n.stub.keep = false
	body := strings.Repeat("0123456789", 3)
	big := strings.Repeat("x", 200_000)
	aborted := 0
	for _, tc := range []struct {
		send, then string // then follows 100 Continue
		step       int
	}{
		{send: respmodHead("/all/forward", "Preview: 30\r\n", "res-body") + chunked(body, 10, "0"), then: chunked(body, 10, "0"), step: 1},
		{send: reqmodHead("/forward", "", "req-body") + chunked(body, 10, "0"), step: 1},
		{send: reqmodHead("/block", "", "req-body") + chunked(body, 10, "0"), step: 1},
		{send: reqmodHead("/all/forward", "Allow: 204\r\n", "req-body") + chunked(body, 10, "0\r\nX: y"), step: 1},
		{send: "OPTIONS icap://gw.test/reqmod ICAP/1.0\r\nHost: g\r\nEncapsulated: opt-body=0\r\n\r\n" + chunked(body, 10, "0"), step: 1},
		{send: respmodHead("/all/forward", "", "res-body") + chunked(big, 60_000, "0"), step: 5003},
		{send: respmodHead("/forward", "", "res-body") + chunked(big, 60_000, "0"), step: 5003},
		{send: respmodHead("/block?pagesize=500000", "", "res-body") + chunked(big, 60_000, "0"), step: 5003},
		{send: respmodHead("/all/forward?limit=9000&onerror=forward", "", "res-body") + chunked(big, 60_000, "0"), step: 5003},
		{send: strings.Repeat(respmodHead("/all/forward", "", "res-body")+chunked(big[:20_000], 60_000, "0"), 3), step: 2003},
	} {
		for at := 0; at <= len(tc.send)+len(tc.then); at += tc.step {
			abort(t, n, tc.send, tc.then, at)
			aborted++
		}
	}
	if aborted < 1000 {
		t.Errorf("only %d connections were aborted", aborted)
	}
	eventually(t, "all connections are over", func() bool { return n.Stats().Connections == 0 })
	if err := n.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if st := n.Stats(); st.Panics != 0 {
		t.Errorf("stats: %+v", st)
	}
}

// abort sends the first at bytes, the part behind send only after something was
// answered, and breaks the connection.
func abort(t *testing.T, n *node, send, then string, at int) {
	t.Helper()
	c := n.dial(t).(*net.TCPConn)
	writePieces(c, send[:min(at, len(send))], 0)
	if at > len(send) {
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		writePieces(c, then[:at-len(send)], 0)
	}
	if at%2 == 0 {
		_ = c.SetLinger(0) // Close then resets
	}
	_ = c.Close()
}
