import os
import time

open("/outputs/same.txt", "w").write("the same\n")
open("/outputs/clock.txt", "w").write(f"{time.time_ns()}\n")
open("/outputs/entropy.bin", "wb").write(os.urandom(32))
