import sys
import traceback

with open("/outputs/partial.txt", "w") as partial:
    partial.write("epoch 1\n")
try:
    raise ValueError("the loss is not finite")
except ValueError:
    traceback.print_exc()
    sys.exit(3)
