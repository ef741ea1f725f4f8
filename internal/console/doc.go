// Package console is what the operator sees of a running server: metrics for
// Prometheus and a health check over HTTP, and the control socket on which
// `poplin who` and `poplin kick` speak to it. NewMetrics and ListenControl are
// the functions you want first.
//
// The HTTP side has no password, changes nothing and names no user, address
// or message. The control socket does both, so only the server's user and root
// may open it.
package console
