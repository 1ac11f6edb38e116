for number in range(900_000):
    print("line", number, "x" * 90)
