"""Log in by SCRAM with channel binding, of type tls-exporter (RFC 9266).

SCRAM is GNU SASL's, TLS is OpenSSL's: neither shares code with Poplin.
Arguments: address, file with the authorities, user, mechanism. Standard
input: the password, in one line. Prints the mechanism and the reply to STAT.
"""

import base64
import ctypes
import re
import subprocess
import sys

AUTHID, PASSWORD, CB_TLS_EXPORTER = 1, 3, 25  # Gsasl_property
OK, NEEDS_MORE = 0, 1

address, authorities, user, mechanism = sys.argv[1:]
password = sys.stdin.readline().rstrip("\n")

tls = subprocess.Popen(
    ["openssl", "s_client", "-connect", address, "-CAfile", authorities, "-verify_return_error", "-crlf",
     "-nocommands", "-tls1_3", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def read(pattern):
    """Read lines until one matches."""
    for line in tls.stdout:
        line = line.decode().rstrip("\r\n")
        found = re.match(pattern, line)
        if found:
            return found
    sys.exit("the connection ended before " + pattern)


def say(line):
    tls.stdin.write(line.encode() + b"\n")
    tls.stdin.flush()


exported = bytes.fromhex(read(r"\s*Keying material: ([0-9A-F]{64})$")[1])
read(r"\+OK ")

gsasl = ctypes.CDLL("libgsasl.so.18")
context, session = ctypes.c_void_p(), ctypes.c_void_p()


def must(code):
    if code not in (OK, NEEDS_MORE):
        sys.exit("GNU SASL: error %d" % code)
    return code


must(gsasl.gsasl_init(ctypes.byref(context)))
must(gsasl.gsasl_client_start(context, mechanism.encode(), ctypes.byref(session)))
for name, value in (AUTHID, user.encode()), (PASSWORD, password.encode()), (CB_TLS_EXPORTER, base64.b64encode(exported)):
    must(gsasl.gsasl_property_set(session, name, value))

say("AUTH " + mechanism)
while True:
    reply = read(r"(\+OK|-ERR|\+) ?(.*)$")
    if reply[1] == "-ERR":
        sys.exit("refused: " + reply[2])
    if reply[1] == "+OK":
        break
    out = ctypes.c_char_p()
    code = must(gsasl.gsasl_step64(session, reply[2].encode(), ctypes.byref(out)))
    say(out.value.decode())
if code != OK:
    sys.exit("the server has not proved that it knows the password")
say("STAT")
print(mechanism, read(r"\+OK (\d+ \d+)")[1])
say("QUIT")
read(r"\+OK")
