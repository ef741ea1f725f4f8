// Package e2e tests Poplin end to end against other people's programs: the
// POP3 clients python3's poplib, curl, mpop, fetchmail and getmail6 retrieve
// from `poplin serve`, package pop3client retrieves from Dovecot and GNU
// Mailutils, and Postfix, Exim and OpenSMTPD deliver. The object store is
// versitygw, which module e2e/versitygw names. It is a module of its own, so
// that nothing in it reaches a program that imports Poplin.
//
// Run it with `make e2e`, which installs what is missing. A program that is
// not installed fails its test rather than skipping it.
package e2e
