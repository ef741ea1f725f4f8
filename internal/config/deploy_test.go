package config

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deployed reads a file below deploy/.
func deployed(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// one gives what a pattern finds in its place; it must be there once.
func one(t *testing.T, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("%s is there %d times", pattern, len(found))
	}
	return found[0][1]
}

func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * time.Second
}

// inConfigMap reads the configuration out of the manifest.
func inConfigMap(t *testing.T) *Config {
	t.Helper()
	_, block, ok := strings.Cut(deployed(t, "kubernetes/config.yaml"), "\n  poplin.toml: |\n")
	if !ok {
		t.Fatal("there is no poplin.toml in the ConfigMap")
	}
	file := filepath.Join(t.TempDir(), "poplin.toml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(block, "\n    ", "\n")[4:]), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestKubernetes: the manifests say the same as the configuration that they
// hold, and as the image.
func TestKubernetes(t *testing.T) {
	c := inConfigMap(t)
	if w := c.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "console.listen") {
		t.Errorf("warnings %q, want that of the console alone", w)
	}
	deployment, service, image := deployed(t, "kubernetes/deployment.yaml"), deployed(t, "kubernetes/service.yaml"), deployed(t, "Dockerfile")

	ports := map[string]string{}
	for name, listen := range map[string][]string{"pop3": c.POP3.Listen, "pop3s": c.POP3S.Listen, "lmtp": c.LMTP.Listen, "console": c.Console.Listen} {
		_, port, err := net.SplitHostPort(strings.Join(listen, ""))
		if n, _ := strconv.Atoi(port); err != nil || n < 1024 {
			t.Errorf("%s listens on %q: a pod has no right to ports below 1024", name, listen)
		}
		ports[name] = port
	}
	opened := map[string]string{}
	for _, m := range regexp.MustCompile(`\{name: (\w+), containerPort: (\d+)\}`).FindAllStringSubmatch(deployment, -1) {
		opened[m[1]] = m[2]
	}
	if !maps.Equal(ports, opened) {
		t.Errorf("the configuration has ports %v, the deployment %v", ports, opened)
	}
	served := map[string]string{}
	for _, m := range regexp.MustCompile(`\{name: (\w+), port: (\d+), targetPort: (\w+)\}`).FindAllStringSubmatch(service, -1) {
		served[m[3]] = m[2]
	}
	if want := map[string]string{"pop3": "110", "pop3s": "995", "lmtp": "24"}; !maps.Equal(served, want) {
		t.Errorf("the services have %v, want %v", served, want)
	}
	if port := one(t, deployment, `prometheus.io/port: "(\d+)"`); port != ports["console"] {
		t.Errorf("metrics are looked for at port %s", port)
	}

	end := c.Limits.ShutdownDelay + c.Limits.ShutdownGrace
	if grace := seconds(t, one(t, deployment, `terminationGracePeriodSeconds: (\d+)`)); grace <= end {
		t.Errorf("a pod is killed %v after it was told to end, and takes %v", grace, end)
	}
	_, ready, _ := strings.Cut(deployment, "readinessProbe:")
	ready, _, _ = strings.Cut(ready, "          env:")
	noticed := seconds(t, one(t, ready, `periodSeconds: (\d+)`)) * (seconds(t, one(t, ready, `failureThreshold: (\d+)`)) / time.Second)
	if noticed >= c.Limits.ShutdownDelay {
		t.Errorf("an end is noticed after %v, and connections are taken for %v only", noticed, c.Limits.ShutdownDelay)
	}
	for probe, path := range map[string]string{"startup": "/livez", "liveness": "/livez", "readiness": "/healthz"} {
		if !strings.Contains(deployment, probe+"Probe:\n            httpGet: {path: "+path+", port: console}\n") {
			t.Errorf("the %s probe does not ask for %s", probe, path)
		}
	}

	var mounts []string
	for _, m := range regexp.MustCompile(`mountPath: ([^,}]+)`).FindAllStringSubmatch(deployment, -1) {
		mounts = append(mounts, m[1])
	}
	for _, file := range slices.Concat(c.TLS.Certificate, c.TLS.Key, []string{c.TLS.TicketKeys, c.Users.File, c.Users.AppPasswords, c.Users.SecretFile, c.Maildrops.Bucket.SecretKeyFile}) {
		if !slices.Contains(mounts, filepath.Dir(file)) {
			t.Errorf("%s is in no volume of %q", file, mounts)
		}
	}
	if !strings.Contains(deployment, "{name: state, mountPath: "+c.State+"}") || !strings.Contains(image, " /state "+c.State+"\n") {
		t.Errorf("the state folder %s is not one that may be written to", c.State)
	}
	uid := one(t, deployment, `runAsUser: (\d+)`)
	if one(t, image, `(?m)^USER (.*)$`) != uid+":"+uid || one(t, image, `--chown=(\S+)`) != uid+":"+uid || one(t, deployment, `fsGroup: (\d+)`) != uid {
		t.Errorf("image and deployment do not agree on user %s", uid)
	}
	args := one(t, image, `(?m)^CMD (\[.*\])$`)
	if !strings.Contains(deployment, "args: "+args+"\n") || !slices.Contains(mounts, "/etc/poplin") || !strings.Contains(args, `"/etc/poplin/poplin.toml"`) {
		t.Errorf("the image runs %s", args)
	}
	for _, name := range []string{"autoscaler", "disruption"} {
		if text := deployed(t, "kubernetes/"+name+".yaml"); !strings.Contains(text, "name: poplin\n") {
			t.Errorf("%s is not about poplin", name)
		}
	}
	metric := one(t, deployed(t, "kubernetes/autoscaler.yaml"), `metric: \{name: (\w+)\}`)
	if page, err := os.ReadFile("../../docs/console.md"); err != nil || !strings.Contains(string(page), "| `"+metric+"` |") {
		t.Errorf("there is no metric %s", metric)
	}
}

// TestPages: the configurations on the pages about several servers are right.
func TestPages(t *testing.T) {
	for _, page := range []string{"haproxy.md", "bare.md"} {
		text, err := os.ReadFile(filepath.Join("../../docs/howto", page))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "poplin.toml")
		if err := os.WriteFile(file, []byte(one(t, string(text), "(?ms)^```toml\n(.*?)^```$")), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(file)
		if err != nil {
			t.Errorf("%s: %v", page, err)
			continue
		}
		if w := c.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "console.listen") {
			t.Errorf("%s: warnings %q", page, w)
		}
		if c.Limits.ShutdownDelay == 0 || len(c.Proxy.Trusted) == 0 {
			t.Errorf("%s: %+v, %+v", page, c.Limits, c.Proxy)
		}
	}
}
