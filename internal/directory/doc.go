// Package directory says who may log in. A Directory asks its sources, in
// their order, and checks passwords, keys, tokens and certificates against
// what they know; app passwords and master users are its own. New makes it
// from Options.
//
// PasswdFile is the source that reads a passwd-file in Dovecot's form, one
// user a line:
//
//	name:{SCHEME}hash:uid:gid:gecos:home:shell:extra
//
// All but the first two fields may be empty or missing; lines that are empty
// or begin with "#" are passed over. Add, SetPassword, Remove and List edit
// such a file.
//
// Names are compared without regard to case, as Dovecot does it in its
// default settings: "Anna" logs in to the account "anna". Two lines with one
// name are an error. The maildrop is named by the line, never by what the
// client sent.
//
// Of the extra fields, those that keep somebody out are obeyed: nologin, and
// allow_nets with its list of networks. The others, and uid, gid, home and
// shell, mean nothing to Poplin and are kept as they are. A password that
// begins with "!" or "*" is locked: the user is kept out altogether. One that
// is empty is none: an app password, a token or a certificate still works.
package directory
