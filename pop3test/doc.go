// Package pop3test helps to test programs that speak POP3.
//
// NewServer starts a server on the loopback interface in one line, with mail
// in memory and a certificate of its own, as httptest does for HTTP. Script
// plays one side of a written session over any connection, with every split,
// delay and cut one may want. RunServer and RunClient run a folder of
// transcripts against a server and against package pop3client, at every split
// of the octets.
//
// # Transcripts
//
// A transcript is a session written down, in a txtar archive with the
// maildrop it is about. The archive holds
//
//	options             what the server is to offer, one option a line
//	maildrop/1.eml      the messages, numbered from 1; lines end in LF
//	maildrop/2.raw      or with every octet spelled out, see below
//	later/3.eml         messages that "! deliver" brings in
//	transcript/NAME     one or more sessions, each with a fresh maildrop
//
// A line of a transcript is one of
//
//	# text              a comment; a transcript begins with one that says
//	                    what must hold and which RFC asks for it, or that
//	                    it is a trap into which implementations have fallen,
//	                    or that it was decided where the RFCs leave it open
//	C: text             the client sends text and CRLF
//	C| text             the client sends text and nothing else
//	S: text             the server sends text and CRLF
//	S= text             the same, where "..." is no wildcard
//	S| text             the server sends text and nothing else
//	S+ NAME arg ...     some line of this list has this first word, and among
//	                    its other words these
//	S- NAME arg ...     no line of this list has
//	! directive         see below
//
// Lines C that follow one another are sent in one segment: this is
// pipelining. Lines S+ and S- that follow one another stand for all lines of
// a list, in any order, up to its terminator, which is written as "S: .".
//
// # Octets
//
// In the text of a line, and in a message whose name ends in .raw, a
// backslash begins an escape: \r, \n, \t, \0, \\, \xNN for an octet in hex,
// and \*N(text) for text N times over. In .raw messages the line ends of the
// archive itself mean nothing.
//
// # Matching
//
// What the server sends must be what is written, octet for octet, except for
//
//	...                 in a line that begins with +OK or -ERR: text for
//	                    people. It is printable ASCII, it begins with no
//	                    response code and holds no timestamp. The blank
//	                    before it may be missing with it.
//	{any:NAME}          text for people, the same wherever this NAME stands
//	{uid:N}             the unique-id of message N
//	{timestamp}         a timestamp of APOP in the form of RFC 1939 section 7
//
// and in a line of the client {apop:SECRET} is the digest for the timestamp
// of this connection. No status line is longer than 512 octets (RFC 2449
// section 4), and no terminator is split off from what precedes it.
//
// A scripted server sends each of these as some text of its own.
//
// # Directives
//
//	! greeting          the greeting, with a timestamp under option apop
//	! login             the greeting, USER and PASS
//	! quit              QUIT, its positive reply, and the server closes
//	! tls               both sides start TLS
//	! session NAME      what follows is on the connection of that name, opened
//	                    when it is first named; the first is called 1
//	! client closes     the client closes the connection, and sends nothing before
//	! server closes     the server does
//	! client cuts       the client closes it, after octets of any kind
//	! server cuts       the server does, after any octets but a terminator
//	! one write         the replies since the last C came in one write
//	! never TEXT        TEXT is not in what the server has sent so far
//	! wait DURATION     nothing happens for so long
//	! left N ...        the maildrop now holds these messages and no others
//	! deliver N         message later/N comes in
//	! fault open temporary|permanent|other
//	                    opening the maildrop fails
//	! fault auth        the directory of users cannot be asked
//	! fault gone N      message N has vanished
//	! fault refuse N    message N cannot be opened
//	! fault read N K    reading message N fails after K octets
//	! fault short N K   message N ends after K octets
//	! fault long N K    message N has K octets too many
//	! fault remove N    message N cannot be removed
//	! repair            all faults are mended
//	! error NAME        for the client: the call for the preceding command
//	                    fails: eof (io.ErrUnexpectedEOF), protocol
//	                    (a *pop3client.ProtocolError), or any
//
// # Options
//
//	insecure_auth       passwords are taken in clear text
//	apop                APOP is offered
//	stls                STLS is offered
//	implicit_tls        connections begin in TLS
//	user NAME PASSWORD  a further account, beside "user" with "password",
//	                    who owns the maildrop; both may hold escapes
//	only server         the transcript is not for clients
//	only client         the transcript is not for servers
package pop3test
