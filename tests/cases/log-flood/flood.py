for number in range(120_000):
    print("line", number, "x" * 690)
