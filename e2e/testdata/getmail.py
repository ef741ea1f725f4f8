# Runs getmail6 with another way to wait for the process that writes a message
# to the Maildir. That of 6.18.11 misses a process that ends before it begins
# to wait, or even before it asks to be told, and goes on only when its
# time-out is over. What getmail6 says to the server is left as it is. The
# arguments are getmail's.
import os
import runpy
import shutil
import signal
import sys
import time

from getmailcore import baseclasses

CHILD = {signal.SIGCHLD}


class Ended:
    def __init__(self):
        self.told = False

    def acquire(self):
        pass

    def release(self):
        pass

    def notify_all(self):
        self.told = True

    def wait(self, seconds):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD)
        end = time.monotonic() + seconds
        while not self.told and time.monotonic() < end:
            time.sleep(0.001)
        return self.told


# The signal waits from before the process begins until somebody waits for it.
def fork(fork=os.fork):
    signal.pthread_sigmask(signal.SIG_BLOCK, CHILD)
    pid = fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD)
    return pid


os.fork = fork
baseclasses.Condition = Ended
program = shutil.which("getmail")
sys.argv[0] = program
runpy.run_path(program, run_name="__main__")
