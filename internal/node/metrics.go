package node

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/scan"
)

// metric describes one family of metrics.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

// collector reads the node's counters when Prometheus asks.
type collector struct {
	node *Node

	info, transactions, reasons, unscanned, failed, faults, bytes, latency, active *prometheus.Desc
	connections, icapRequests, icapAnswers, icapRefusals, cut                      *prometheus.Desc
	engineUp, engineScans, engineFailures, engineQueue                             *prometheus.Desc
	events, eventsDropped, eventsQueued, eventEngineUp                             *prometheus.Desc
	spool, ruleHits, settingsOK                                                    *prometheus.Desc
}

func (n *Node) collector() prometheus.Collector {
	return &collector{
		node:           n,
		info:           metric("info", "Version and revision in force.", "version", "revision"),
		transactions:   metric("transactions_total", "Transactions by direction and action.", "direction", "action"),
		reasons:        metric("verdict_reasons_total", "Verdicts by what they rest on.", "reason"),
		unscanned:      metric("unscanned_total", "Messages that passed without being scanned whole."),
		failed:         metric("transactions_failed_total", "Transactions that did not come to their end at the wire."),
		faults:         metric("faults_total", "Faults of Sluice that were caught; the message was blocked or its connection cut."),
		bytes:          metric("body_bytes_total", "Body bytes by way.", "way"),
		latency:        metric("transaction_seconds", "Time from begin to end of a transaction."),
		active:         metric("transactions_active", "Transactions being judged now."),
		connections:    metric("icap_connections", "Open ICAP connections."),
		icapRequests:   metric("icap_requests_total", "ICAP requests by method.", "method"),
		icapAnswers:    metric("icap_answers_total", "ICAP answers by status.", "status"),
		icapRefusals:   metric("icap_refusals_total", "ICAP requests and connections refused.", "reason"),
		cut:            metric("icap_cut_total", "Answers whose end was withheld."),
		engineUp:       metric("engine_up", "1 while a scan engine answers.", "engine"),
		engineScans:    metric("engine_scans_total", "Objects scanned.", "engine"),
		engineFailures: metric("engine_failures_total", "Scans without a definite answer.", "engine"),
		engineQueue:    metric("engine_queue", "Objects that wait for an engine.", "engine"),
		events:         metric("events_total", "Events recorded."),
		eventsDropped:  metric("events_dropped_total", "Events lost because all room for them was full."),
		eventsQueued:   metric("events_queued", "Events that wait for the event engine."),
		eventEngineUp:  metric("event_engine_up", "1 while the event engine answers."),
		spool:          metric("spool_bytes", "What bodies hold.", "where"),
		ruleHits:       metric("rule_hits_total", "Messages that a rule decided.", "stage", "workspace", "rule"),
		settingsOK:     metric("settings_ok", "0 while the settings document has problems and an older revision is in force."),
	}
}

// Describe lists the metrics (prometheus.Collector).
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect reads all counters (prometheus.Collector).
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.traffic(ch)
	c.icap(ch)
	c.engines(ch)
	c.rest(ch)
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c *collector) traffic(ch chan<- prometheus.Metric) {
	s := c.node.engine.Stats()
	for _, v := range s.Verdicts() {
		count(ch, c.transactions, float64(v.N), v.Direction.String(), v.Action.String())
	}
	for r, n := range s.Reasons() {
		count(ch, c.reasons, float64(n), r.String())
	}
	t := s.Totals()
	count(ch, c.unscanned, float64(t.Unscanned))
	count(ch, c.failed, float64(t.Failed))
	count(ch, c.faults, float64(t.Panics)+float64(c.node.server.Stats().Panics))
	count(ch, c.bytes, float64(t.Received), "received")
	count(ch, c.bytes, float64(t.Sent), "sent")
	gauge(ch, c.active, float64(t.Active))
	upTo, n, sum := s.Latency()
	buckets := make(map[float64]uint64, len(upTo))
	for bound, n := range upTo {
		buckets[bound.Seconds()] = uint64(n) //nolint:gosec // a count
	}
	ch <- prometheus.MustNewConstHistogram(c.latency, uint64(n), sum.Seconds(), buckets) //nolint:gosec // a count
}

func (c *collector) icap(ch chan<- prometheus.Metric) {
	s := c.node.server.Stats()
	gauge(ch, c.connections, float64(s.Connections))
	for m, n := range s.Requests {
		count(ch, c.icapRequests, float64(n), m)
	}
	for status, n := range s.Answers {
		count(ch, c.icapAnswers, float64(n), strconv.Itoa(status))
	}
	for reason, n := range s.Refusals {
		count(ch, c.icapRefusals, float64(n), reason)
	}
	count(ch, c.cut, float64(s.Cut))
}

func (c *collector) engines(ch chan<- prometheus.Metric) {
	for _, e := range c.node.engine.Snapshot().Chain.Engines() {
		h := e.Health()
		gauge(ch, c.engineUp, oneIf(h.State != scan.Down && h.State != scan.Starting), e.Name())
		count(ch, c.engineScans, float64(h.Scans), e.Name())
		count(ch, c.engineFailures, float64(h.Failures), e.Name())
		gauge(ch, c.engineQueue, float64(h.Queue), e.Name())
	}
}

// maxRuleMetrics bounds the rules that have a metric each: ten thousand rules
// would drown everything else.
const maxRuleMetrics = 1000

func (c *collector) rest(ch chan<- prometheus.Metric) {
	n := c.node
	h := n.events.Health()
	count(ch, c.events, float64(h.Recorded))
	count(ch, c.eventsDropped, float64(h.Dropped))
	gauge(ch, c.eventsQueued, float64(h.QueuedLines))
	gauge(ch, c.eventEngineUp, oneIf(h.EngineRunning))
	memory, disk := n.spool.Usage()
	gauge(ch, c.spool, float64(memory), "memory")
	gauge(ch, c.spool, float64(disk), "disk")
	snap := n.engine.Snapshot()
	rules := snap.Policy.Rules()
	for _, r := range rules[:min(len(rules), maxRuleMetrics)] {
		count(ch, c.ruleHits, float64(r.Hits()), r.Stage.String(), r.Workspace, r.Name)
	}
	gauge(ch, c.info, 1, n.cfg.Version, snap.Revision)
	n.mu.Lock()
	defer n.mu.Unlock()
	gauge(ch, c.settingsOK, oneIf(n.problem == nil))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
