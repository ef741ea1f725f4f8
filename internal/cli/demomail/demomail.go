// Package demomail makes the messages that `poplin demo` serves: the same
// octets in every run. They look like mail that people get, and between them
// they hold what mail servers stumble over: dots, 8-bit text, lone line
// feeds, long lines, no line end at the end, megabytes. Everybody in them is
// fictional, at example.org and example.com.
package demomail

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// Message is a message as it is delivered: with bare LF or with CRLF, and
// with or without a line end at its end.
type Message struct {
	About   string // what it is there for
	Content []byte
}

// LargeSize is the number of octets of the attachment of the large message,
// before its encoding.
const LargeSize = 3 << 20

// Messages makes the messages, oldest first.
func Messages() []Message {
	return []Message{
		{"plain text", plain()},
		{"HTML with an attachment", newsletter()},
		{"8-bit text in ISO 8859-1", latin()},
		{"UTF-8 in the header, raw", utf8Header()},
		{"a subject in encoded words", encodedWords()},
		{"lines of dots", dots()},
		{"a dot as the first octet", dotFirst()},
		{"a line of 20,000 octets", longLine()},
		{"no line end at the end", noFinalNewline()},
		{"CRLF as stored line ends", crlf()},
		{"an empty body", emptyBody()},
		{"a mailing list", mailingList()},
		{"a delivery report", deliveryReport()},
		{"a large attachment", large()},
		{"what to try next", welcome()},
	}
}

// header writes a header and the blank line below it.
func header(number int, from, to, subject string, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <%s>\n", from[strings.IndexByte(from, '<')+1:len(from)-1])
	fmt.Fprintf(&b, "Received: from mx.example.com (mx.example.com [192.0.2.25])\n\tby mail.example.org with ESMTPS id demo%04d\n\tfor <demo@example.org>; Mon, 2 Nov 2026 09:%02d:00 +0000\n", number, number)
	fmt.Fprintf(&b, "Date: Mon, 02 Nov 2026 09:%02d:00 +0000\nFrom: %s\nTo: %s\nSubject: %s\n", number, from, to, subject)
	fmt.Fprintf(&b, "Message-ID: <2026.%04d@example.com>\nMIME-Version: 1.0\n", number)
	for _, line := range more {
		b.WriteString(line + "\n")
	}
	return b.String() + "\n"
}

const (
	textPlain = "Content-Type: text/plain; charset=utf-8"
	demo      = "Demo User <demo@example.org>"
	mara      = "Mara Lindqvist <mara@example.com>"
	tomas     = "Tomas Brandt <tomas@example.com>"
)

func plain() []byte {
	return []byte(header(1, mara, demo, "Lunch on Thursday?", textPlain) + `Hi,

the place by the canal has opened again. Thursday at half past twelve?
I booked a table for four, Tomas and Ines come too.

Mara

--
Mara Lindqvist, Harbour Street 7
`)
}

func newsletter() []byte {
	h := header(2, "Garden Letter <letter@example.com>", demo, "November in the garden: what to plant now",
		`Content-Type: multipart/mixed; boundary="outer"`, "List-Unsubscribe: <mailto:leave@example.com>")
	return []byte(h + `This is a message in several parts.

--outer
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Garlic, broad beans and bare-root roses go in now. Ten degrees are
enough – the soil must not be frozen.

--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<!doctype html>
<html><body style=3D"font-family:serif">
<h1>November in the garden</h1>
<p>Garlic, <b>broad beans</b> and bare-root roses go in now. Ten degrees are =
enough =E2=80=93 the soil must not be frozen.</p>
</body></html>

--inner--

--outer
Content-Type: application/pdf; name="planting.pdf"
Content-Disposition: attachment; filename="planting.pdf"
Content-Transfer-Encoding: base64

` + encoded("planting", 6000) + `
--outer--
`)
}

func latin() []byte {
	h := header(3, "Søren Dahl <soren@example.com>", demo, "=?iso-8859-1?Q?R=F8dgr=F8d_med_fl=F8de?=",
		"Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: 8bit")
	h = strings.Replace(h, "Søren", "=?iso-8859-1?Q?S=F8ren?=", 1)
	return []byte(h + "Opskriften: 500 g r\xf8de b\xe6r, 100 g sukker, lidt vand.\nKog det op, og lad det k\xf8le af.\n")
}

func utf8Header() []byte {
	return []byte(header(4, "山田 花子 <hanako@example.com>", demo, "会議の議事録 ☕", textPlain, "Content-Transfer-Encoding: 8bit") +
		"お疲れさまです。\n\n議事録を送ります。次回は木曜日の午後三時です。\n\n山田\n")
}

func encodedWords() []byte {
	return []byte(header(5, "=?utf-8?Q?Zo=C3=AB_Fran=C3=A7ois?= <zoe@example.com>", demo,
		"=?utf-8?B?UmU6IERldmlzIHBvdXIgbGEgcsOpbm92YXRpb24gZGUgbGEgdMO0bGU=?=\n =?utf-8?B?IGRlIGxhIHZlcmFuZGE=?=", textPlain) +
		"Bonjour,\n\nle devis est de 1 840 euros, pose comprise.\n\nZoë\n")
}

func dots() []byte {
	return []byte(header(6, tomas, demo, "A poem in dots", textPlain) + `.
..
...
. a dot and a blank
.hidden
A line that ends in dots ...

.
QUIT
.
`)
}

// dotFirst has no header: its very first octet must be stuffed as well.
func dotFirst() []byte {
	return []byte(".signature files used to begin like this.\n\nThis message has no header, and begins with a dot.\n")
}

func longLine() []byte {
	line := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 445)
	return []byte(header(8, "Report Robot <robot@example.com>", demo, "Weekly report, in a single line", textPlain) +
		line[:20_000] + "\nEnd of report.\n")
}

func noFinalNewline() []byte {
	return []byte(header(9, mara, demo, "Re: Lunch on Thursday?", textPlain) + "Sent in a hurry, without a line end")
}

func crlf() []byte {
	text := header(10, tomas, demo, "From another system", textPlain) + "Stored with CRLF,\n.as some systems do it.\n\n..\n"
	return []byte(strings.ReplaceAll(text, "\n", "\r\n"))
}

func emptyBody() []byte {
	return []byte(header(11, mara, demo, "Call me (no text)", textPlain))
}

func mailingList() []byte {
	return []byte(header(12, "Ines Moreau <ines@example.com>", "Model Railways <rails@lists.example.org>", "[rails] Re: [rails] Which glue for brass?",
		textPlain, "List-Id: Model Railways <rails.lists.example.org>", "List-Post: <mailto:rails@lists.example.org>",
		"List-Unsubscribe: <https://lists.example.org/rails/leave>", "Precedence: list",
		"In-Reply-To: <2026.0099@example.com>", "References: <2026.0098@example.com>\n <2026.0099@example.com>") + `On Sunday, Tomas wrote:
> From what I read, epoxy holds longest.
>> Which glue do you use for brass?

From experience: solder it.

Ines
_______________________________________________
rails mailing list
rails@lists.example.org
`)
}

func deliveryReport() []byte {
	h := header(13, "Mail Delivery System <postmaster@example.com>", demo, "Undelivered mail returned to sender",
		`Content-Type: multipart/report; report-type=delivery-status; boundary="report"`, "Auto-Submitted: auto-replied")
	return []byte(strings.Replace(h, "Return-Path: <postmaster@example.com>", "Return-Path: <>", 1) + `--report
Content-Type: text/plain; charset=us-ascii

The address tom@example.com does not exist. Did you mean tomas@example.com?

--report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; tom@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--report
Content-Type: message/rfc822

From: demo@example.org
To: tom@example.com
Subject: The photographs

They are too large for one mail.
.
--report--
`)
}

func large() []byte {
	return []byte(header(14, "Ines Moreau <ines@example.com>", demo, "The photographs", `Content-Type: multipart/mixed; boundary="photo"`) +
		"--photo\nContent-Type: text/plain; charset=utf-8\n\nHere they are, all in one.\n\n" +
		"--photo\nContent-Type: application/zip; name=\"photographs.zip\"\nContent-Disposition: attachment; filename=\"photographs.zip\"\n" +
		"Content-Transfer-Encoding: base64\n\n" + encoded("photographs", LargeSize) + "\n--photo--\n")
}

func welcome() []byte {
	return []byte(header(15, "Poplin <poplin@example.org>", demo, "Welcome to Poplin", textPlain) + `Hello,

this message was delivered into a Maildir, served over POP3, retrieved over
TLS and compared octet by octet.

The lines that the demo printed bring it to python3, to curl and to you.

Poplin
`)
}

// encoded gives size octets that look random and are the same in every run,
// in base64, 76 characters a line.
func encoded(seed string, size int) string {
	raw := make([]byte, 0, size+sha256.Size)
	block := []byte(seed + "00000000")
	for i := uint64(0); len(raw) < size; i++ {
		binary.BigEndian.PutUint64(block[len(seed):], i)
		sum := sha256.Sum256(block)
		raw = append(raw, sum[:]...)
	}
	text := base64.StdEncoding.EncodeToString(raw[:size])
	var b bytes.Buffer
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	b.WriteString(text + "\n")
	return b.String()
}
