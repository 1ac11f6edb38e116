import zipfile

with zipfile.ZipFile("/outputs/predictions.zip", "w") as archive:
    archive.writestr("predictions.csv", "".join(f"{at},{at % 3}\n" for at in range(100)))
