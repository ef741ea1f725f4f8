// Command poplin is a POP3 server with what belongs to it. `poplin --help`
// lists its subcommands.
package main

import (
	"context"
	"os"

	"github.com/poplin-mail/poplin/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
