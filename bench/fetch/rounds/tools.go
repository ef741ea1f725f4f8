package rounds

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// Tool is a program that retrieves mail.
type Tool struct {
	Name    string
	Program string   // as exec.LookPath finds it
	Version []string // arguments that make it print its version

	// command writes the configuration for a job, and gives the command.
	command func(program string, j job) ([]string, error)

	// read gives the messages that came; nil: those of the Maildir.
	read func(j job) ([][]byte, error)

	// unprivileged has it run as another user where this one is root.
	unprivileged bool
}

// job is what a tool is to do.
type job struct {
	dir         string // for all that it needs
	maildir     string // below it, and there already
	host, port  string
	secure      bool   // TLS from the first octet
	certificate string // file with the authority to trust
	deletes     bool   // what was retrieved goes from the server
}

func newJob(dir, addr string, c Case, certificate string) (job, error) {
	j := job{dir: dir, maildir: filepath.Join(dir, "mail"), secure: c.TLS, certificate: certificate, deletes: c.Delete}
	var err error
	if _, j.port, err = net.SplitHostPort(addr); err != nil {
		return j, err
	}
	j.host = "localhost" // the name in the certificate
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(j.maildir, sub), 0o700); err != nil {
			return j, err
		}
	}
	return j, nil
}

// choose gives one of two texts.
func choose(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

// Poplin is a program of Poplin's.
func Poplin(program string) Tool {
	return Tool{Name: filepath.Base(program), Program: program, Version: []string{"version"}, command: func(program string, j job) ([]string, error) {
		config := filepath.Join(j.dir, "poplin.toml")
		text := fmt.Sprintf(poplinToml, j.dir, j.host, j.port, choose(j.secure, "tls", "insecure"), user, password, j.maildir, choose(j.deletes, "none", "all"))
		if j.secure {
			text += fmt.Sprintf("tls_ca_file = %q\n", j.certificate)
		}
		return []string{program, "fetch", "--quiet", "--config", config}, os.WriteFile(config, []byte(text), 0o600)
	}}
}

const poplinToml = `state = "%s/state"
[fetch.bench]
server = "%s:%s"
security = "%s"
user = "%s"
password = "%s"
to = ["maildir:%s"]
keep = "%s"
`

// Peers are other programs, each configured to the same ends.
func Peers() []Tool {
	return []Tool{
		{Name: "mpop", Program: "mpop", Version: []string{"--version"}, command: mpop},
		{Name: "fetchmail", Program: "fetchmail", Version: []string{"--version"}, command: fetchmail,
			read: func(j job) ([][]byte, error) { return readBSMTP(filepath.Join(j.dir, "bsmtp")) }},
		{Name: "getmail6", Program: "getmail", Version: []string{"--version"}, command: getmail, unprivileged: true},
	}
}

func mpop(program string, j job) ([]string, error) {
	config := filepath.Join(j.dir, "mpoprc")
	text := fmt.Sprintf("account a\nhost %s\nport %s\nuser %s\npassword %s\nauth plain\ntls %s\ntls_starttls off\ndelivery maildir %s\nkeep %s\nuidls_file %s/uidls\nreceived_header off\n",
		j.host, j.port, user, password, choose(j.secure, "on", "off"), j.maildir, choose(j.deletes, "off", "on"), j.dir)
	if j.secure {
		text += "tls_trust_file " + j.certificate + "\n"
	}
	return []string{program, "-q", "-C", config, "a"}, os.WriteFile(config, []byte(text), 0o600)
}

// fetchmail has no Maildir of its own, and hands mail to another program. It is
// quickest where it writes all messages to one file.
func fetchmail(program string, j job) ([]string, error) {
	config := filepath.Join(j.dir, "fetchmailrc")
	text := fmt.Sprintf("set no syslog\nset no bouncemail\nset idfile \"%[1]s/ids\"\npoll %[2]s port %[3]s proto POP3 uidl\n user \"%[4]s\" password \"%[5]s\" is \"%[4]s\" here %[6]s fetchall no rewrite bsmtp \"%[1]s/bsmtp\" ",
		j.dir, j.host, j.port, user, password, choose(j.deletes, "nokeep", "keep"))
	if j.secure {
		text += fmt.Sprintf("ssl sslcertck sslcertfile \"%s\"\n", j.certificate)
	} else {
		text += "sslproto \"\"\n"
	}
	return []string{"env", "FETCHMAILHOME=" + j.dir, program, "-f", config, "--pidfile", filepath.Join(j.dir, "pid"), "--silent"},
		os.WriteFile(config, []byte(text), 0o600)
}

func getmail(program string, j job) ([]string, error) {
	config := filepath.Join(j.dir, "getmailrc")
	text := fmt.Sprintf("[retriever]\ntype = %s\nserver = %s\nport = %s\nusername = %s\npassword = %s\n",
		choose(j.secure, "SimplePOP3SSLRetriever", "SimplePOP3Retriever"), j.host, j.port, user, password)
	if j.secure {
		text += "ca_certs = " + j.certificate + "\n"
	}
	text += fmt.Sprintf("[destination]\ntype = Maildir\npath = %s/\n[options]\nread_all = true\ndelete = %s\nverbose = 0\ndelivered_to = false\nreceived = false\n",
		j.maildir, choose(j.deletes, "true", "false"))
	return []string{"env", "HOME=" + j.dir, program, "--quiet", "--getmaildir", j.dir, "--rcfile", config}, os.WriteFile(config, []byte(text), 0o600)
}

// Find looks for the program, and gives its version.
func (t *Tool) Find() (version string, err error) {
	if t.Program, err = exec.LookPath(t.Program); err != nil {
		return "", errors.New(t.Name + " is not on this machine")
	}
	out, _ := exec.Command(t.Program, t.Version...).CombinedOutput() // fetchmail says it, and then that it has no servers
	if number := regexp.MustCompile(`\s(\d+\.\d+[\w.]*)`).FindSubmatch(out); number != nil {
		return string(number[1]), nil
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	return string(first), nil
}
