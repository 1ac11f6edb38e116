import os
import socket

os.mkdir("/outputs/sub")
for path in ("/outputs/good.txt", "/outputs/sub/good.txt"):
    open(path, "w").write("good\n")
os.symlink("/etc/passwd", "/outputs/passwd")
os.symlink("../good.txt", "/outputs/sub/up")
os.symlink("/", "/outputs/folder")
os.symlink("nowhere", "/outputs/dangling")
os.mkfifo("/outputs/fifo")
socket.socket(socket.AF_UNIX).bind("/outputs/socket")
os.link("/outputs/good.txt", "/outputs/twin")
open("/outputs/line\nbreak", "w").write("x")
open(b"/outputs/latin-\xe9", "w").write("x")
open("/outputs/set-id", "w").write("x")
os.chmod("/outputs/set-id", 0o4755)
