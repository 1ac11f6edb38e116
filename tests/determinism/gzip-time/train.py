import gzip

with gzip.open("/outputs/predictions.csv.gz", "wt") as file:
    file.write("".join(f"{at},{at % 3}\n" for at in range(100)))
