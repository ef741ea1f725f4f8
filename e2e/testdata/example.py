import poplib
from email.parser import BytesParser
mail = poplib.POP3_SSL(server)
mail.user(user); mail.pass_(password)
num_messages = len(mail.list()[1])
response, lines, octets = mail.retr(num_messages)
msg = BytesParser().parsebytes(b'\r\n'.join(lines))
mail.quit()
