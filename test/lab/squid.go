package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// Squid is a Squid with ssl-bump. Everybody may use Port; AuthPort wants Basic
// authentication.
type Squid struct {
	Port, AuthPort int
	process        *Process
}

// Users of AuthPort. Squid tells the node that alice is in the group staff.
const (
	Alice         = "alice"
	AlicePassword = "wonderland"
	Bob           = "bob"
	BobPassword   = "builder"
)

// StartSquid starts a Squid that sends everything to icap, the host:port of an
// ICAP server; with "" it only bumps.
func (l *Lab) StartSquid(ctx context.Context, name, icap string) (*Squid, error) {
	s := &Squid{}
	if err := freePorts(&s.Port, &s.AuthPort); err != nil {
		return nil, err
	}
	dir := filepath.Join(l.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := l.squidFiles(dir); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "squid.conf")
	if err := os.WriteFile(conf, []byte(l.squidConf(dir, s, icap)), 0o644); err != nil {
		return nil, err
	}
	db := filepath.Join(dir, "certs")
	if out, err := exec.CommandContext(ctx, "/usr/lib/squid/security_file_certgen", "-c", "-s", db, "-M", "16MB").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("squid's certificate store: %w: %s", err, out)
	}
	if err := chownAll(dir, "proxy"); err != nil {
		return nil, err
	}
	p, err := l.start(name, "squid", "-N", "-f", conf)
	if err != nil {
		return nil, err
	}
	s.process = p
	l.logs = append(l.logs, filepath.Join(dir, "cache.log"))
	return s, p.ready(ctx, func() error { return dialable("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port)) })
}

func (l *Lab) squidFiles(dir string) error {
	hosts := "127.0.0.1 localhost " + Host + " a." + Host + " b." + Host + " other.test\n"
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte(hosts), 0o644); err != nil {
		return err
	}
	var passwords strings.Builder
	for _, u := range [][2]string{{Alice, AlicePassword}, {Bob, BobPassword}} {
		out, err := exec.Command("openssl", "passwd", "-apr1", u[1]).Output()
		if err != nil {
			return fmt.Errorf("openssl passwd: %w", err)
		}
		fmt.Fprintf(&passwords, "%s:%s", u[0], out)
	}
	return os.WriteFile(filepath.Join(dir, "passwords"), []byte(passwords.String()), 0o644)
}

// unstuck is for Squid's bug 5352, which security fixes brought to the Squid 5.7
// of Debian 12: when an origin is faster than an ICAP service that answers only
// after the whole body, Squid stops reading from the origin with its 64 KiB
// buffer full and never starts again. Reads that wait for a delay pool are woken
// every second; this pool delays nothing else. Squid 6.14 and 7 need none of it.
const unstuck = `delay_pools 1
delay_class 1 1
delay_parameters 1 1000000000/1000000000
delay_access 1 allow all
`

func (l *Lab) squidConf(dir string, s *Squid, icap string) string {
	bump := fmt.Sprintf("ssl-bump cert=%s generate-host-certificates=on dynamic_cert_mem_cache_size=4MB", l.bump.Both)
	conf := fmt.Sprintf(`http_port 127.0.0.1:%[2]d name=open %[4]s
http_port 127.0.0.1:%[3]d name=auth %[4]s
visible_hostname squid.test
pid_filename none
cache_log %[1]s/cache.log
access_log none
cache_store_log none
netdb_filename none
coredump_dir %[1]s
cache deny all
cache_mem 8 MB
pinger_enable off
max_filedescriptors 16384
shutdown_lifetime 1 seconds
connect_timeout 5 seconds
dns_nameservers 127.0.0.1
hosts_file %[1]s/hosts
cache_effective_user proxy
tls_outgoing_options cafile=%[5]s
sslcrtd_program /usr/lib/squid/security_file_certgen -s %[1]s/certs -M 16MB
sslcrtd_children 4
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
auth_param basic program /usr/lib/squid/basic_ncsa_auth %[1]s/passwords
auth_param basic children 2
auth_param basic realm lab
acl lo src 127.0.0.0/8
acl authport myportname auth
acl known proxy_auth REQUIRED
http_access deny authport !known
http_access allow lo
http_access deny all
`, dir, s.Port, s.AuthPort, bump, l.root.File)
	if icap == "" {
		return conf
	}
	return conf + unstuck + fmt.Sprintf(`icap_enable on
icap_preview_enable on
icap_send_client_ip on
icap_send_client_username on
icap_persistent_connections on
icap_service_failure_limit -1
icap_service_revival_delay 2
icap_connect_timeout 5 seconds
acl alice proxy_auth %[2]s
adaptation_meta X-Client-Groups staff authport alice
icap_service req reqmod_precache icap://%[1]s/reqmod bypass=off
icap_service resp respmod_precache icap://%[1]s/respmod bypass=off
adaptation_access req allow all
adaptation_access resp allow all
`, icap, Alice)
}

func chownAll(dir, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("user %s has no numbers", name)
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// Stop stops this Squid.
func (s *Squid) Stop() { s.process.Stop(comeUp) }
