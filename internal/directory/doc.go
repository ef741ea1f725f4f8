// Package directory says who may log in. It reads a passwd-file in Dovecot's
// form, one user a line:
//
//	name:{SCHEME}hash:uid:gid:gecos:home:shell:extra
//
// All but the first two fields may be empty or missing; lines that are empty
// or begin with "#" are passed over. PasswdFile answers logins from such a
// file, and Add, SetPassword, Remove and List edit it.
//
// Names are compared without regard to case, as Dovecot does it in its
// default settings: "Anna" logs in to the account "anna". Two lines with one
// name are an error. The maildrop is named by the line, never by what the
// client sent.
//
// Of the extra fields, those that keep somebody out are obeyed: nologin, and
// allow_nets with its list of networks. The others, and uid, gid, home and
// shell, mean nothing to Poplin and are kept as they are. A password that is
// empty, or begins with "!" or "*", is one that nobody can log in with.
package directory
