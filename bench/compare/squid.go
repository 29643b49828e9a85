package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

const (
	originAddr = "127.0.0.1:18081"
	squidPort  = 13128 // and the two behind it
)

const nginxConf = `daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx-error.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 100000000;
  default_type application/octet-stream;
  client_body_temp_path %[1]s/nginx-body;
  server { listen ` + originAddr + ` backlog=4096; root %[1]s/www; }
}
`

// squidConf is a Squid that caches nothing and logs nothing itself.
const squidConf = `http_port 127.0.0.1:%[2]d
pid_filename %[1]s/squid-%[2]d.pid
cache_log %[1]s/squid-%[2]d-cache.log
access_log none
cache deny all
cache_mem 8 MB
coredump_dir %[1]s
acl lo src 127.0.0.0/8
http_access allow lo
http_access deny all
max_filedescriptors 4096
shutdown_lifetime 1 seconds
%[3]s`

// icapConf sends both messages of every exchange to a service.
const icapConf = `icap_enable on
icap_preview_enable on
icap_preview_size 1024
icap_send_client_ip on
icap_send_client_username on
icap_persistent_connections on
icap_service_failure_limit -1
icap_service req reqmod_precache %[1]s bypass=off
icap_service resp respmod_precache %[2]s bypass=off
adaptation_access req allow all
adaptation_access resp allow all
`

// squidSection measures what users of a Squid feel: nothing behind it, c-icap's
// echo, Sluice. Bodies are small: Squid 5 hangs when an origin is so near that a
// body fills Squid's 64 KiB before an ICAP service that waits for the whole body
// took the first of it (its bug 5352), with any such service.
func squidSection(ctx context.Context, b *bench) error {
	if err := need("squid", "nginx"); err != nil {
		return err
	}
	cicap, n, _, err := b.both(ctx, false)
	if err != nil {
		return err
	}
	if err := b.startOrigin(ctx); err != nil {
		return err
	}
	behind := []string{"", fmt.Sprintf(icapConf, echoURL, echoURL), fmt.Sprintf(icapConf, reqmodURL, respmodURL)}
	names := []string{"Squid alone", "Squid, c-icap", "Squid, Sluice"}
	var who []contender
	for i, icap := range behind {
		port := squidPort + i
		p, err := b.startSquid(ctx, port, icap)
		if err != nil {
			return err
		}
		c := contender{name: names[i], args: []string{"-addr", fmt.Sprintf("127.0.0.1:%d", port)}, watch: fmt.Sprintf("peer=%d", p.pid())}
		switch i {
		case 1:
			c.watch += fmt.Sprintf(",icap=%d", cicap.pid())
		case 2:
			c.watch += fmt.Sprintf(",icap=%d", n.pid())
			c.node = n
		}
		who = append(who, c)
	}
	r, err := b.rounds(ctx, who, "-mode", "http", "-url", "http://"+originAddr+"/1k.bin")
	if err != nil {
		return err
	}
	b.table.compare("through Squid, REQMOD and RESPMOD, HTTP 1 KiB", "req/s", r[1:], perSecond, none())
	b.table.compare("the same, beside Squid with nothing behind it", "req/s", [][]outcome{r[0], r[2]}, perSecond, none())
	b.table.detail("HTTP 1 KiB through Squid", who, r)
	return nil
}

// startOrigin runs nginx beside the load generator.
func (b *bench) startOrigin(ctx context.Context) error {
	www := filepath.Join(b.dir, "www")
	if err := os.MkdirAll(www, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	body := make([]byte, 1<<10)
	for i := range body {
		body[i] = byte(i*i>>3) | 1
	}
	if err := os.WriteFile(filepath.Join(www, "1k.bin"), body, 0o644); err != nil {
		return err
	}
	conf := filepath.Join(b.dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, b.dir), 0o644); err != nil {
		return err
	}
	p, err := startOn(loadCPU, b.dir, "nginx", "nginx", "-c", conf)
	if err != nil {
		return err
	}
	b.running = append(b.running, p)
	return p.until(ctx, listening("tcp", originAddr))
}

func (b *bench) startSquid(ctx context.Context, port int, icap string) (*process, error) {
	name := fmt.Sprintf("squid-%d", port)
	conf := filepath.Join(b.dir, name+".conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, squidConf, b.dir, port, icap), 0o644); err != nil {
		return nil, err
	}
	if err := os.Chmod(b.dir, 0o777); err != nil { // Squid gives up root before it writes there
		return nil, err
	}
	p, err := startOn(serviceCPU, b.dir, name, "squid", "-N", "-f", conf, "-n", fmt.Sprintf("bench%d", port))
	if err != nil {
		return nil, err
	}
	b.running = append(b.running, p)
	return p, p.until(ctx, listening("tcp", fmt.Sprintf("127.0.0.1:%d", port)))
}
