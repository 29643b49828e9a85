package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const comeUp = 20 * time.Second

// Host is the name of the origin. Only Squid's own hosts file knows it.
const Host = "origin.test"

func (l *Lab) startNginx(ctx context.Context, certFile, keyFile string) error {
	if err := freePorts(&l.NginxHTTP, &l.NginxHTTPS); err != nil {
		return err
	}
	conf := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/nginx.pid; error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; default_type application/octet-stream;
  types { text/html html; text/plain txt; image/png png; }
  client_body_temp_path %[1]s/nginx-body; proxy_temp_path %[1]s/nginx-proxy; fastcgi_temp_path %[1]s/nginx-f; uwsgi_temp_path %[1]s/nginx-u; scgi_temp_path %[1]s/nginx-s;
  server { listen 127.0.0.1:%[2]d; root %[1]s/www; location /gz/ { alias %[1]s/www/; gzip on; gzip_types *; gzip_min_length 1; } }
  server { listen 127.0.0.1:%[3]d ssl; root %[1]s/www; ssl_certificate %[4]s; ssl_certificate_key %[5]s; }
}
`, l.Dir, l.NginxHTTP, l.NginxHTTPS, certFile, keyFile)
	file := filepath.Join(l.Dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return err
	}
	p, err := l.start("nginx", "nginx", "-c", file)
	if err != nil {
		return err
	}
	return p.ready(ctx, func() error { return dialable("tcp", fmt.Sprintf("127.0.0.1:%d", l.NginxHTTP)) })
}

// startFTP serves DIR/ftp to anonymous users, who may upload into DIR/ftp/in.
func (l *Lab) startFTP(ctx context.Context) error {
	if err := freePorts(&l.FTP); err != nil {
		return err
	}
	empty := filepath.Join(l.Dir, "ftp-empty")
	in := filepath.Join(l.Dir, "ftp", "in")
	for _, d := range []string{empty, filepath.Join(l.Dir, "ftp", "pub"), in} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(in, 0o777); err != nil {
		return err
	}
	conf := fmt.Sprintf(`listen=YES
listen_address=127.0.0.1
listen_port=%[2]d
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=%[1]s/ftp
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
secure_chroot_dir=%[3]s
pasv_address=127.0.0.1
seccomp_sandbox=NO
xferlog_enable=NO
`, l.Dir, l.FTP, empty)
	file := filepath.Join(l.Dir, "vsftpd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return err
	}
	p, err := l.start("vsftpd", "vsftpd", file)
	if err != nil {
		return err
	}
	return p.ready(ctx, func() error { return dialable("tcp", fmt.Sprintf("127.0.0.1:%d", l.FTP)) })
}
