package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"sluice/internal/content"
	"sluice/internal/icap"
	"sluice/internal/page"
	"sluice/internal/policy"
	"sluice/internal/settings"
	"sluice/internal/traffic"
	"sluice/internal/tx"
)

// built is everything of a revision that can be made without touching what runs.
type built struct {
	settings *settings.Settings
	hash     string
	document []byte // canonical
	policy   *policy.Policy
	pages    *page.Set
	fail     traffic.FailPolicy
	icap     icap.Config
	tls      *tls.Config // nil: no TLS listener
}

func build(s *settings.Settings, previous *policy.Policy) (*built, error) {
	b := &built{settings: s, fail: failPolicy(&s.Protection.On)}
	var err error
	if b.document, err = s.Canonical(); err != nil {
		return nil, err
	}
	if b.hash, err = s.Hash(); err != nil {
		return nil, err
	}
	b.policy, err = policy.Compile(s.Rules, s.Workspaces, s.Protection.Default, policy.Options{Types: isType, Previous: previous})
	if err != nil {
		return nil, err
	}
	if b.pages, err = pages(&s.Pages); err != nil {
		return nil, err
	}
	if len(s.Node.ICAP.TLS.Listen) > 0 {
		if b.tls, err = tlsConfig(&s.Node.ICAP.TLS); err != nil {
			return nil, err
		}
	}
	b.icap = icapConfig(s)
	return b, nil
}

// isType tells whether a rule can name a type of content.
func isType(name string) bool {
	return slices.ContainsFunc(content.Types(), func(t content.TypeInfo) bool { return t.ID == name })
}

func failPolicy(on *settings.FailPolicy) traffic.FailPolicy {
	var p traffic.FailPolicy
	for _, f := range []struct {
		reason tx.Reason
		want   string
	}{
		{tx.EngineError, on.EngineError}, {tx.TimedOut, on.TimedOut}, {tx.OverLimit, on.OverLimit},
		{tx.BadEncoding, on.BadEncoding}, {tx.BadContent, on.BadContent}, {tx.Partial, on.Partial},
	} {
		if f.want == "allow" {
			p = p.Open(f.reason)
		}
	}
	return p
}

func pages(p *settings.Pages) (*page.Set, error) {
	c := page.Config{Templates: map[string]string{}, Language: p.Language, Contact: p.Contact}
	for tag, name := range p.Files {
		text, err := readSome(name, page.MaxTemplate+1)
		if err != nil {
			return nil, fmt.Errorf("pages.files.%s: %w", tag, err)
		}
		c.Templates[tag] = string(text)
	}
	return page.New(c)
}

// readSome reads a file up to limit bytes.
func readSome(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit))
	return b, errors.Join(err, f.Close())
}

// maxPEM bounds certificate files, in bytes.
const maxPEM = 1 << 20

func tlsConfig(t *settings.ICAPTLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("node.icap.tls: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if t.ClientCA == "" {
		return c, nil
	}
	pem, err := readSome(t.ClientCA, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("node.icap.tls.client_ca: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("node.icap.tls.client_ca: no certificate in %s", t.ClientCA)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}

func icapConfig(s *settings.Settings) icap.Config {
	c := &s.ICAP
	networks := make([]netip.Prefix, 0, len(c.Clients))
	for _, n := range c.Clients {
		if p, err := settings.ParsePrefix(n); err == nil { // validated
			networks = append(networks, p)
		}
	}
	return icap.Config{
		ReqmodPath: c.Services.Reqmod, RespmodPath: c.Services.Respmod,
		Preview: c.Preview, OptionsTTL: time.Duration(c.OptionsTTL),
		TransferComplete: c.Transfer.Complete, TransferIgnore: c.Transfer.Ignore,
		MaxConnections: s.Node.ICAP.MaxConnections, ClientNetworks: networks,
		Headers:    icap.Headers{ClientAddr: c.Headers.ClientAddress, User: c.Headers.User, Groups: c.Headers.Groups},
		UserBase64: c.UserBase64, SkipConnect: c.Connect == "skip",
		StartSending: icap.StartSending{
			Enabled: c.StartSending.Enabled, After: time.Duration(c.StartSending.After), Rate: int64(c.StartSending.Rate),
		},
		Timeouts: icap.Timeouts{
			Header: time.Duration(c.Timeouts.Head), BodyIdle: time.Duration(c.Timeouts.Body),
			Write: time.Duration(c.Timeouts.Write), Idle: time.Duration(c.Timeouts.Idle),
		},
	}
}
