import os

for part in range(50):
    os.mkdir(f"/outputs/part-{part:02}")
    for sample in range(100):
        with open(f"/outputs/part-{part:02}/sample-{sample:04}.txt", "w") as file:
            file.write(f"{part} {sample}\n")
