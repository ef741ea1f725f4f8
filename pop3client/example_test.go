package pop3client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	"github.com/poplin-mail/poplin/pop3client"
)

// Retrieve everything, and delete on the server what is safe.
func Example() {
	ctx := context.Background()
	c, err := pop3client.Dial(ctx, "mail.example.org", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Abort() // does nothing after Quit
	if err := c.Login(ctx, "alice", os.Getenv("MAIL_PASSWORD")); err != nil {
		log.Fatal(err)
	}

	var safe []int
	for msg, err := range c.RetrieveAll(ctx, pop3client.RetrieveOptions{}) {
		var one *pop3client.MessageError
		if errors.As(err, &one) {
			log.Printf("message %d stays on the server: %v", one.Number, err)
			continue
		} else if err != nil {
			log.Fatal(err) // nothing is deleted
		}
		if err := store(msg.UID, msg); err != nil {
			log.Fatal(err)
		}
		safe = append(safe, msg.Number)
	}

	if err := c.Dele(ctx, safe...); err != nil {
		log.Print(err)
	}
	if err := c.Quit(ctx); err != nil {
		log.Fatal(err) // says what is known about the deletes
	}
}

// store puts a message where it is safe, and gives an error unless it is.
func store(name string, r io.Reader) error {
	f, err := os.Create(fmt.Sprintf("%x.eml", name))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return err // io.ErrUnexpectedEOF where the connection ended first
	}
	return f.Sync()
}

// One message, over a connection of the caller's: here, to a server of a few
// lines in the same program.
func ExampleClient_Retr() {
	ours, theirs := net.Pipe()
	go smallServer(theirs)
	ctx := context.Background()
	c, err := pop3client.New(ctx, ours, &pop3client.Options{InsecureAuth: true}) // a pipe needs no TLS
	if err != nil {
		log.Fatal(err)
	}
	defer c.Abort()
	if err := c.Login(ctx, "alice", "open sesame"); err != nil {
		log.Fatal(err)
	}
	msg, err := c.Retr(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(msg)
	fmt.Printf("%q %v\n", text, err)
	fmt.Println(c.Quit(ctx))
	// Output:
	// "Subject: Lunch\r\n\r\n.5 past noon\r\n" <nil>
	// <nil>
}

func smallServer(conn net.Conn) {
	defer conn.Close()
	replies := map[string]string{
		"CAPA": "+OK\r\nUSER\r\n.\r\n",
		"RETR": "+OK\r\nSubject: Lunch\r\n\r\n..5 past noon\r\n.\r\n",
	}
	r := bufio.NewReader(conn)
	io.WriteString(conn, "+OK ready\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if reply, ok := replies[verb]; ok {
			io.WriteString(conn, reply)
		} else {
			io.WriteString(conn, "+OK\r\n")
		}
		if verb == "QUIT" {
			return
		}
	}
}

// What a URL says about an account.
func ExampleParseURL() {
	u, err := pop3client.ParseURL("pop://alice%40example.org;AUTH=+APOP@mail.example.org")
	fmt.Println(u.User, u.Auth, u.Addr(), err)
	// Output: alice@example.org +APOP mail.example.org:110 <nil>
}
