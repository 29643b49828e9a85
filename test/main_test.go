package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"sluice/test/lab"
)

// shared is the lab that most tests use: one node with default settings behind
// one Squid. Tests that break a node start one of their own.
var shared struct {
	*lab.Lab
	node   *lab.Node
	squid  *lab.Squid // in front of node
	plain  *lab.Squid // without ICAP, to compare with
	client *http.Client
}

// blocking are the shared node's settings: all defaults, save that malware is
// never taken out of an archive to let the rest pass.
const blocking = "protection: {default: {malware: block}}\n"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := lab.Start(ctx)
	if l != nil {
		shared.Lab = l
	}
	if err == nil {
		err = startShared(ctx)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	if l == nil {
		return code
	}
	if code != 0 {
		l.Dump(os.Stderr)
	}
	l.Stop(code != 0)
	return code
}

func startShared(ctx context.Context) error {
	var err error
	if err = shared.Build(ctx); err != nil {
		return err
	}
	if shared.node, err = shared.StartNode(ctx, "node", blocking); err != nil {
		return err
	}
	if shared.squid, err = shared.StartSquid(ctx, "squid", fmt.Sprintf("127.0.0.1:%d", shared.node.ICAP)); err != nil {
		return err
	}
	if shared.plain, err = shared.StartSquid(ctx, "squid-plain", ""); err != nil {
		return err
	}
	shared.client, err = shared.Client(shared.squid.Port, nil)
	return err
}
