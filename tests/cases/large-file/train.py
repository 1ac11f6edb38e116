block = bytes(range(256)) * 4096
with open("/outputs/model.pt", "wb") as file:
    for number in range(1024):
        file.write(number.to_bytes(8, "little") + block[8:])
