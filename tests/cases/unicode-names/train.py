import os

os.mkdir("/outputs/\U0001f40b \U0001f433")
for name, text in {
    "caf\u00e9.txt": "composed",
    "cafe\u0301.txt": "decomposed",
    "\U0001f40b \U0001f433/\u05e9\u05dc\u05d5\u05dd.txt": "right to left",
    " a b#?%&+ .txt": "ascii",
    "\u202egpj.exe": "override",
}.items():
    with open(f"/outputs/{name}", "w") as file:
        file.write(text)
