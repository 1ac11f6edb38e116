import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("I stay", flush=True)
while True:
    time.sleep(60)
