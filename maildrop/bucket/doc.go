// Package bucket keeps maildrops in an object store that speaks S3. It
// implements package maildrop's contract. Any number of processes serve the
// same maildrops, and none of them keeps anything: there is no database and no
// index beside the objects.
//
// New makes a Store over an Engine, which package s3 is for stores that speak S3. Store.Open
// opens a user's maildrop, Store.Deliver puts a message into one.
//
// A maildrop is what lies below HASH/NAME/ in one bucket:
//
//   - m/ULID.OCTETS.SUM: a message. Its UID is the ULID. OCTETS are those of
//     the form of the wire, in which it is stored, SUM is the CRC-32C of the
//     object. Of a message that was taken in from another store .rTIME, in
//     milliseconds, is when it came, and .uUID in base64 its UID, where the ULID
//     says something else. With .z behind it, it is packed by zstd, and then with .s
//     encrypted. So one LIST tells all that a login needs, and what GET gives
//     is measured by what LIST said.
//   - k/NONCE: the lock of a session, renewed while it lasts.
//   - g: the generation, another text whenever messages came or went.
//   - a/ULID.REMOVED.UNTIL: this message is aside, and not listed.
//   - n/KEY: a note of a view, and its CRC-32C.
//
// Beside the maildrops, in the first bucket, lie poplin-check/, while Check
// runs, poplin-turns/, where Store.Turn notes who did what last, and
// poplin-buckets, their number.
//
// Of the store it asks that a listing shows what was written before, no more:
// no conditional writes, no versions, no renames. It must never be told to
// rest on one that lists late.
package bucket
