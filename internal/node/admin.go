package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveAdmin opens the port for metrics and health.
func (n *Node) serveAdmin(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", n.current.settings.Node.Admin.Listen)
	if err != nil {
		return fmt.Errorf("node.admin.listen: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), n.collector())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", n.readyz)
	n.admin = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second}
	n.serving.Go(func() { n.served("metrics and health", n.admin.Serve(l)) })
	return nil
}

// readyz tells load balancers whether to send traffic here.
func (n *Node) readyz(w http.ResponseWriter, _ *http.Request) {
	state := n.state()
	if state != inService {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, state)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.problem != nil {
		fmt.Fprintf(w, "settings refused, the revision before is in force: %v\n", n.problem)
	}
}
