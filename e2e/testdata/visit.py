# Retrieves a maildrop with poplib into numbered files, line ends as they came.
# Arguments: clear|stls|tls, host, port, file of the CA, user, folder, keep|delete.
# The password stands on standard input.
import os
import poplib
import ssl
import sys

transport, host, port, ca, user, folder, after = sys.argv[1:]
password = sys.stdin.readline().rstrip("\n")
# Lines of more than 2048 octets are refused unless this is raised, as its users do.
poplib._MAXLINE = 1 << 20
context = ssl.create_default_context(cafile=ca)
if transport == "tls":
    mail = poplib.POP3_SSL(host, int(port), timeout=180, context=context)
else:
    mail = poplib.POP3(host, int(port), timeout=180)
    if transport == "stls":
        mail.stls(context)
mail.capa()
mail.user(user)
mail.pass_(password)
count, total = mail.stat()
sizes = [int(line.split()[1]) for line in mail.list()[1]]
uids = [line.split()[1] for line in mail.uidl()[1]]
assert len(sizes) == len(uids) == len(set(uids)) == count, (count, sizes, uids)
assert sum(sizes) == total, (sizes, total)
for number in range(1, count + 1):
    response, lines, octets = mail.retr(number)
    assert octets == sizes[number - 1], (number, octets, sizes[number - 1])
    header = mail.top(number, 0)[1]
    assert lines[: len(header)] == header, (number, header)
    with open(os.path.join(folder, "%05d" % number), "wb") as file:
        for line in lines:
            file.write(line + b"\r\n")
    if after == "delete":
        mail.dele(number)
mail.noop()
mail.quit()
