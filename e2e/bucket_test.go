package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/bench/gateways"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
)

// versitygw gives the path of the S3 server that module e2e/versitygw names.
// It lies in Go's build cache: only the first time takes long.
var versitygw = sync.OnceValues(func() (string, error) {
	build := exec.Command("go", "tool", "-n", "versitygw")
	build.Dir, build.Env = "versitygw", append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	build.Stderr = &errs
	path, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("building versitygw: %v\n%s", err, errs.Bytes())
	}
	return strings.TrimSpace(string(path)), nil
})

// startGateways starts two gateways over one folder.
func startGateways(t *testing.T) *gateways.Gateways {
	t.Helper()
	program, err := versitygw()
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateways.Start(t.Context(), program, folder(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// bucketToml keeps maildrops in an object store. The lease is the shortest
// that there is.
func bucketToml(endpoints ...string) string {
	return fmt.Sprintf(`[maildrops]
store = "bucket"
[maildrops.bucket]
endpoints = ["%s"]
access_key = %q
secret_key = %q
buckets = 2
lease = "8s"
`, strings.Join(endpoints, `", "`), gateways.AccessKey, gateways.SecretKey)
}

// bucketNames are the buckets of bucketToml.
var bucketNames = []string{"mail-00", "mail-01"}

// startOnBucket starts `poplin serve` on an object store.
func startOnBucket(t *testing.T, inClear bool) (server, mailbox) {
	t.Helper()
	g := startGateways(t)
	s := newPoplin(t, inClear, bucketToml(g.Balancer(), g.Endpoint(0), g.Endpoint(1)))
	run(t, command(t, poplin, "bucket", "init", "--config", s.config))
	s.serve(t, inClear)
	return s.server, newBucketBox(t, g)
}

// bucketBox is the account's maildrop in an object store.
type bucketBox struct {
	gateways *gateways.Gateways
	store    *bucket.Store
}

func newBucketBox(t *testing.T, g *gateways.Gateways) bucketBox {
	t.Helper()
	engine, err := s3.New(s3.Options{Endpoint: g.Balancer(), AccessKey: gateways.AccessKey, SecretKey: gateways.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	store, err := bucket.New(bucket.Options{Engine: engine, Bucket: "mail", Buckets: len(bucketNames)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return bucketBox{g, store}
}

// fill delivers the letters as they are: LMTP would put lines before them.
func (b bucketBox) fill(t *testing.T, letters []letter, _ int) {
	t.Helper()
	for _, l := range letters {
		if _, err := b.store.Deliver(t.Context(), "bela", bytes.NewReader(l.stored)); err != nil {
			t.Fatalf("%q: %v", l.name, err)
		}
	}
}

// holds compares the objects themselves with the letters on the wire: that is
// the form in which they are kept.
func (b bucketBox) holds(t *testing.T, letters []letter) {
	t.Helper()
	var all [][]byte
	for _, path := range objects(t, b.gateways, "/m/") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if d := difference(letters, all, asSent); d != "" {
		t.Errorf("the object store does not hold what it should:\n%s", d)
	}
	if locks := objects(t, b.gateways, "/k/"); len(locks) > 0 {
		t.Errorf("locks are left: %q", locks)
	}
}

// objects gives the files of the objects that have that in their keys.
func objects(t *testing.T, g *gateways.Gateways, part string) (files []string) {
	t.Helper()
	for _, name := range bucketNames {
		keys, err := g.Keys(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if strings.Contains(key, part) {
				files = append(files, filepath.Join(g.Folder(), name, filepath.FromSlash(key)))
			}
		}
	}
	return files
}

// bucketNode is one of several servers on one object store, which takes mail too.
type bucketNode struct {
	poplinServer
	lmtp string // socket
}

// startNodes makes the buckets, and starts two servers with one configuration
// but for what they listen on and where they keep their state.
func startNodes(t *testing.T, g *gateways.Gateways, more string) [2]bucketNode {
	t.Helper()
	s := newPoplin(t, false, bucketToml(g.Balancer(), g.Endpoint(0), g.Endpoint(1)))
	if out := string(run(t, command(t, poplin, "bucket", "init", "--config", s.config))); out != "mail-00: made\nmail-01: made\n" {
		t.Errorf("poplin bucket init prints %q", out)
	}
	if out := string(run(t, command(t, poplin, "bucket", "check", "--config", s.config))); !strings.HasSuffix(out, "\nThe store may be used for maildrops.\n") {
		t.Errorf("poplin bucket check prints %q", out)
	}
	var nodes [2]bucketNode
	for i := range nodes {
		n := &nodes[i]
		*n = bucketNode{s, filepath.Join(s.dir, fmt.Sprintf("lmtp%d.sock", i))}
		n.config = filepath.Join(s.dir, fmt.Sprintf("poplin%d.toml", i))
		n.start(t, more)
	}
	return nodes
}

// start starts a node, also one that was killed.
func (n *bucketNode) start(t *testing.T, more string) {
	t.Helper()
	n.process, n.plain, n.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		n.configure(t, false, plain, tls)
		n.rewrite(t, func(text string) string {
			own := strings.TrimSuffix(filepath.Base(n.config), ".toml")
			text = strings.Replace(text, "/state\"\n", "/"+own+"\"\nhostname = \"mx.example.org\"\n", 1)
			return known(text) + more + "[lmtp]\nlisten = [\"unix:" + n.lmtp + "\"]\n"
		})
		return n.command()
	})
	n.process.waitLog(t, "protocol=lmtp", 1)
}

// deliver sends a letter to bela by LMTP and gives the reply to it.
func (n *bucketNode) deliver(l letter) (reply string, err error) {
	conn, err := net.Dial("unix", n.lmtp)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	data := bytes.ReplaceAll(withoutReturnPath(l), []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(data, []byte(".")) {
		data = append([]byte("."), data...)
	}
	for _, step := range []struct{ send, want string }{
		{"", "220 "}, {"LHLO mx.example.org\r\n", "250 "}, {"MAIL FROM:<eve@example.com>\r\n", "250 "}, {"RCPT TO:<bela@example.org>\r\n", "250 "},
		{"DATA\r\n", "354 "}, {string(data) + ".\r\n", ""},
	} {
		if _, err := conn.Write([]byte(step.send)); err != nil {
			return "", err
		}
		for {
			if reply, err = r.ReadString('\n'); err != nil {
				return "", err
			}
			if len(reply) < 4 || reply[3] != '-' {
				break
			}
		}
		if !strings.HasPrefix(reply, step.want) {
			return "", fmt.Errorf("LMTP: %q is answered by %q", step.send, reply)
		}
	}
	return reply, nil
}

// delivers fails the test unless each letter is taken.
func (n *bucketNode) delivers(t *testing.T, letters ...letter) {
	t.Helper()
	for _, l := range letters {
		if reply, err := n.deliver(l); err != nil || !strings.HasPrefix(reply, "250 ") {
			t.Fatalf("%q: %q, %v", l.name, reply, err)
		}
	}
}

// uids gives the unique-ids that the node lists, in order.
func (n *bucketNode) uids(t *testing.T) (uids []string) {
	t.Helper()
	c := connect(t, n.server, overTLS)
	defer quit(t, c)
	list, err := c.Uidl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range list {
		uids = append(uids, u.UID)
	}
	return uids
}

// sameUIDs fails the test unless both nodes list these.
func sameUIDs(t *testing.T, nodes *[2]bucketNode, want []string) {
	t.Helper()
	for i := range nodes {
		if got := nodes[i].uids(t); !slices.Equal(got, want) {
			t.Errorf("node %d lists %q, want %q", i, got, want)
		}
	}
}
