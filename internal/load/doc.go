// Package load puts load on any POP3 server and measures what it does: Run
// keeps a number of connections at one kind of work and gives rates and
// percentiles. It judges nothing but whether each session ended well and each
// message came whole.
//
// Everything is in one place: a session of each work in session.go, who runs
// them and when in run.go, what is counted in tally.go and histogram.go.
package load
