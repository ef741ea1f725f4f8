// Package takeover finds out which messages another program has downloaded
// already, so that a switch to Poplin downloads none of them again.
//
// Read takes the memory of fetchmail, getmail6, mpop or Thunderbird, or a
// plain list of unique-ids; Find looks where these programs keep it. Where
// there is no such file, Rebuild compares the headers on the server with those
// of the mail in a Maildir or mbox.
//
// Nothing is written, and one rule decides in doubt: a message counts as
// downloaded only where that is certain. One that is missed is downloaded
// twice; one that is taken for another is never downloaded.
//
// # Formats
//
// Each was found in the program's source, and in files that the program wrote
// (testdata/README.md has the versions).
//
//   - fetchmail, .fetchids: a line `user@server uid` a message. Server is the
//     name after `via`, or else after `poll`; the port is not in it. User may
//     hold @ and blanks, the unique-id may hold @. Messages that fetchmail has
//     skipped are not in it.
//   - getmail6, oldmail-SERVER-PORT-USER: the unique-id, NUL, and the time of
//     retrieval in seconds. In the name runs of / \ : ; < > | are one "-", in
//     the unique-id each / is "-".
//   - mpop, USER_at_SERVER: comments at the start, then for each account a line
//     ` count server user` and as many lines with a unique-id.
//   - Thunderbird and SeaMonkey, popstate.dat: for each account a line `*server
//     user`, then lines `status uid seconds`. Status k is kept on the server, d
//     to be deleted there, b and f have been downloaded in part only.
package takeover
