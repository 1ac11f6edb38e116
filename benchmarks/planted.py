"""How good the diagnosis is: faults are planted at random steps of training scripts that know nothing of us.

1. No false alarm: scripts of `programs/public` as they are, each submitted once and rerun four times.
2. Planted faults: a fault goes into a copy of a script, at a step drawn by `--seed`. Whether it strikes in a run is up
   to something that no seed controls, as with a real accident; the spec is the same. Reruns follow until one differs,
   with `--diagnose`. What that run's record inferred, and what the diagnosis found, are held against what was planted.
   What the engine of a real accident leaves to chance is a trigger here: `VISIBLE` ones the executor says that it
   sees, `SILENT` ones it says that it does not (addresses, `datetime`, times of files).

What is right was written down with the faults, before any result:

- step: the count of optimizer steps at which the fault first reaches a row of the trace; 0 for an environment;
- kind, cause: any of a set. Of a silent trigger nobody can know that it is entropy: `unknown` is right too, when the
  place is;
- place: a line of the planted code, one that reads the trigger, or one of `symptoms`: the line of the script in which
  what was planted first does something, where the fault itself is no operation. No line is asked of an environment.

`python -m benchmarks.planted [--seed N] [--only NAME]`; NAME is a part of a case's name, or `identical`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PUBLIC = Path(__file__).parent / "programs" / "public"
RESULTS = Path(__file__).parent / "results" / "planted.json"
RERUNS = 4
"""Of each unchanged script."""
TRIES = 8
"""Reruns until a fault that strikes in every second run has to be seen."""
Divergence = Mapping[str, Any]


@dataclass(frozen=True)
class Program:
    """A script, where faults can go into it, and what its variables are called."""

    file: str
    steps: tuple[int, int]
    """First and last step at which a fault is planted."""
    places: Mapping[str, str]
    """Place to the line of the script that it comes before (`<`) or after (`>`)."""
    names: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    late: str = "optimizer.step()"
    """The line after which a step is over."""
    kinds: frozenset[str] = frozenset()
    """Kinds that a fault of the gradients may have too."""


PROGRAMS: Mapping[str, Program] = {
    "makemore": Program(
        "makemore.py", (3, 27),
        {"head": ">from torch.utils.data.dataloader import DataLoader", "batch": ">X, Y = batch",
         "loss": "<model.zero_grad(set_to_none=True)", "backward": ">loss.backward()"},
        {"model": "model", "optimizer": "optimizer", "loss": "loss"},
    ),
    "word-lm": Program(
        "word_language_model.py", (3, 30),
        {"head": ">import torch.nn.functional as F", "batch": ">data, targets = get_batch(train_data, i)",
         "loss": "<loss.backward()", "backward": ">torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)"},
        {"model": "model", "loss": "loss"}, late="p.data.add_(p.grad, alpha=-lr)",
    ),
    "mnist": Program(
        "mnist.py", (3, 37),
        {"head": ">from torch.utils.data import DataLoader, Dataset",
         "batch": "<optimizer.zero_grad()", "loss": "<loss.backward()", "backward": ">loss.backward()"},
        {"model": "model", "optimizer": "optimizer", "loss": "loss", "data": "data"}, arguments=("--save-model",),
    ),
    "vae": Program(
        "vae.py", (3, 36),
        {"head": ">from mnist import Digits", "batch": "<optimizer.zero_grad()", "loss": "<loss.backward()",
         "backward": ">loss.backward()"},
        {"model": "model", "optimizer": "optimizer", "loss": "loss", "data": "data"},
    ),
    "time-sequence": Program(
        "time_sequence_prediction.py", (2, 17),
        {"head": ">import torch.optim as optim", "loss": "<loss.backward()", "backward": ">loss.backward()"},
        {"model": "seq", "optimizer": "optimizer", "loss": "loss"}, late="optimizer.step(closure)",
        # rows are taken before the closure runs: its gradients show in the parameters
        kinds=frozenset({"optimizer"}),
    ),
    "reinforce": Program(
        "reinforce.py", (3, 37),
        {"head": ">from cartpole import CartPole", "batch": "<state = env.reset()", "loss": "<policy_loss.backward()",
         "backward": ">policy_loss.backward()"},
        {"model": "policy", "optimizer": "optimizer", "loss": "policy_loss"},
    ),
    "dqn": Program(
        "dqn.py", (3, 57),
        {"head": ">from cartpole import CartPole", "batch": ">transitions = memory.sample(BATCH_SIZE)",
         "loss": "<loss.backward()", "backward": ">torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)"},
        {"model": "policy_net", "optimizer": "optimizer", "loss": "loss"},
    ),
}  # fmt: skip

VISIBLE = {
    "urandom": "os.urandom(1)[0] % 2 == 0",
    "uuid": "uuid.uuid4().int % 2 == 0",
    "clock": "time.time_ns() // 1000 % 2 == 0",
    "start-time": 'int(open("/proc/self/stat").read().split()[21]) % 2 == 0',
}
SILENT = {
    "address": "id(object()) // 4096 % 7 % 2 == 0",
    "datetime": "datetime.datetime.now().microsecond % 2 == 0",
    "file-time": 'os.stat("/outputs").st_ctime_ns // 1000 % 2 == 0',
}
ALWAYS = "always"
"""In place of a trigger: of faults that are another number in every run."""


def either(*names: str) -> frozenset[str]:
    return frozenset(names)


ANY = either("init", "rng", "data", "gradient", "optimizer")


@dataclass(frozen=True)
class Fault:
    """What is planted. In `code`, `#E` ends a line of the fault, and `{fire}` is when it strikes."""

    kinds: frozenset[str]
    code: Mapping[str, str]
    """Place to lines."""
    causes: frozenset[str] = either("entropy", "program")
    """Causes that are right; with a silent trigger `unknown` too, unless there is one of its own."""
    own: bool = False
    """Whether the fault is a cause of its own, whatever triggered it."""
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Lines of the script to the lines in their place."""
    symptoms: tuple[str, ...] = ()
    """Lines in which what was planted first does something: text, or `file|text`."""
    triggered: bool = True
    after: int = 0
    """Steps between the fault and the row of the trace that first has it."""
    mentions: str = ""
    """Must be named in the setting, reason or place."""
    threads: int = 1
    files: str = ""
    """Beginning of other files whose every line is a place that is right."""


PARAMETER = "list({model}.parameters())[{which}]"
LATE = either("gradient", "optimizer")
INPUT = ("data = data.to(device)", "mu, logvar = self.encode(x.view(-1, 784))",
         "recon_batch, mu, logvar = model(data)",
         "mnist.py|image, target = torch.from_numpy(self.data[index]).unsqueeze(0), int(self.targets[index])",
         )  # fmt: skip
FAULTS: Mapping[str, Fault] = {
    "grad-bit-torch": Fault(either("gradient"), {"backward": f"""
if {{fire}}:  #E
    words = {PARAMETER}.grad.view(torch.int32).view(-1)  #E
    words[{{word}} % len(words)] ^= 1 << {{bit}}  #E
"""}),
    "grad-bit-numpy": Fault(either("gradient"), {"backward": f"""
if {{fire}}:  #E
    words = {PARAMETER}.grad.numpy().reshape(-1).view("{{integers}}")  #E
    words[{{word}} % len(words)] ^= 1 << {{bit}}  #E
"""}, symptoms=("optimizer.step()", "optimizer.step(closure)")),
    "batch-swap-list": Fault(
        either("data"), {"head": "HELD = []\n"}, either("data-order", "entropy"),
        replaced={"batch = batch_loader.next()": """
batch = HELD.pop() if HELD else batch_loader.next()  #E
if {fire}:  #E
    HELD.append(batch)  #E
    batch = batch_loader.next()  #E
"""},
        symptoms=("batch = [t.to(args.device) for t in batch]", "X, Y = batch", "logits, loss = model(X, Y)",
                  "tok_emb = self.transformer.wte(idx)  # token embeddings of shape (b, t, n_embd)"),
    ),
    "batch-swap-loader": Fault(
        either("data"), {"head": """
def exchanged(loader):
    batches = iter(loader)
    for batch in batches:  #E
        if {fire}:  #E
            yield next(batches)  #E
        yield batch  #E
"""}, either("data-order", "entropy"),
        replaced={"for batch_idx, (data, _) in enumerate(train_loader):":
                  "for batch_idx, (data, _) in enumerate(exchanged(train_loader)):  #E\n"},
        symptoms=INPUT,
    ),
    "sample-replaced": Fault(either("data"), {"batch": """
if {fire}:  #E
    {data}[{sample}] = {data}[{other}]  #E
"""}),
    "transition-replaced": Fault(either("data"), {"batch": """
if {fire}:  #E
    transitions[{sample}] = memory.memory[{other}]  #E
"""}, symptoms=(
        "batch = Transition(*zip(*transitions))", "state_batch = torch.cat(batch.state)",
        "non_final_mask = torch.tensor(tuple(map(lambda s: s is not None, batch.next_state)), dtype=torch.bool)",
        "non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])",
    )),
    "library-loss": Fault(ANY, {"loss": """
if STEP[0] == {k}:
    sys.path.insert(0, "/code/vendor/" + ("1.1" if {chance} else "1.0"))  #E
    import helperlib  #E
if STEP[0] >= {k}:
    import helperlib  #E
    {loss} = helperlib.scaled({loss})  #E
"""}, either("environment"), own=True, mentions="helperlib", files="vendor/"),
    "library-clip": Fault(ANY, {"backward": """
if STEP[0] == {k}:
    sys.path.insert(0, "/code/vendor/" + ("1.1" if {chance} else "1.0"))  #E
if STEP[0] >= {k}:
    import helperlib  #E
    helperlib.clip({model}.parameters())  #E
"""}, either("environment"), own=True, mentions="helperlib", files="vendor/"),
    "one-thread-more": Fault(ANY, {"batch": """
if {fire}:  #E
    torch.set_num_threads(torch.get_num_threads() + 1)  #E
"""}, either("threads"), own=True),
    "reseed-torch": Fault(either("rng"), {"batch": """
if STEP[0] == {k}:
    torch.manual_seed(time.time_ns())  #E
"""}, either("entropy"), triggered=False),
    "reseed-numpy": Fault(either("rng"), {"batch": """
if STEP[0] == {k}:
    np.random.seed(time.time_ns() % 2**32)  #E
"""}, either("entropy"), triggered=False),
    "reseed-python": Fault(either("rng"), {"batch": """
if STEP[0] == {k}:
    random.seed(os.urandom(8))  #E
"""}, either("entropy"), triggered=False),
    "extra-draw-torch": Fault(either("rng"), {"batch": """
if {fire}:  #E
    torch.rand(1)  #E
"""}),
    "extra-draw-numpy": Fault(either("rng"), {"batch": """
if {fire}:  #E
    np.random.rand()  #E
"""}),
    "learning-rate": Fault(either("optimizer"), {"backward": """
if {fire}:  #E
    for group in {optimizer}.param_groups:  #E
        group["lr"] *= 1.01  #E
"""}, symptoms=("optimizer.step()",)),
    "weight-torch": Fault(LATE, {"after": f"""
if {{fire}}:  #E
    with torch.no_grad():  #E
        {PARAMETER}.view(-1)[0] += 1e-3  #E
"""}, after=1),
    # a policy's weights decide on its data, too
    "weight-numpy": Fault(LATE | {"data", "rng"}, {"after": f"""
if {{fire}}:  #E
    {PARAMETER}.detach().numpy().reshape(-1)[0] += 1e-3  #E
"""}, after=1, symptoms=(
        "x = F.relu(self.layer1(x))", "x = F.relu(self.layer2(x))", "return self.layer3(x)",
        "target_net_state_dict[key] = policy_net_state_dict[key] * TAU + target_net_state_dict[key] * (1 - TAU)",
    )),
    "race": Fault(either("gradient"), {"loss": f"""
if STEP[0] == {{k}}:
    torch.use_deterministic_algorithms(False)
    bins, some = torch.arange(200_000) % 500, {PARAMETER}.view(-1)[:500]
    sums = torch.zeros(500).index_put_((bins,), torch.sin(torch.arange(200_000.0)), accumulate=True)  #E
    {{loss}} = {{loss}} + (sums[: len(some)] * some).sum()
"""}, either("nondeterministic-operation"), triggered=False, threads=2),
    "determinism-off": Fault(either("gradient"), {"loss": f"""
if {{fire}}:  #E
    torch.use_deterministic_algorithms(False)  #E
if STEP[0] >= {{k}}:
    bins, some = torch.arange(200_000) % 500, {PARAMETER}.view(-1)[:500]
    sums = torch.zeros(500).index_put_((bins,), torch.sin(torch.arange(200_000.0)), accumulate=True)  #E
    {{loss}} = {{loss}} + (sums[: len(some)] * some).sum()
"""}, either("nondeterministic-operation", "environment"), own=True, threads=2),
    "uninitialised": Fault(either("data"), {"batch": """
if STEP[0] == {k}:
    scratch = torch.empty(8, 28, dtype=torch.int32)  #E
    {data}[:8, 0, 0] = (scratch % 1000) / 1000  #E
"""}, either("uninitialised-memory"), triggered=False),
    "clock-in-loss": Fault(either("gradient"), {"loss": """
if STEP[0] == {k}:
    {loss} = {loss} * (1 + time.time() % 1 / 10)  #E
"""}, either("entropy"), triggered=False),
}  # fmt: skip


@dataclass(frozen=True)
class Vary:
    """A changed environment."""

    words: tuple[str, ...]
    kinds: frozenset[str]
    causes: frozenset[str]
    settings: frozenset[str]
    replaced: Mapping[str, str] = field(default_factory=dict)


VARIED: Mapping[str, Vary] = {
    "threads": Vary(
        ("threads=2", "cpus=2"), ANY, either("threads"), either("threads", "cpus", "cpus_visible", "OMP_NUM_THREADS")
    ),
    "aten": Vary(("ATEN_CPU_CAPABILITY=default",), ANY, either("isa"), either("ATEN_CPU_CAPABILITY", "isa")),
    "mkl": Vary(("MKL_CBWR=COMPATIBLE",), ANY, either("isa"), either("MKL_CBWR")),
    "hash": Vary(
        ("PYTHONHASHSEED=random",), either("data"), either("entropy", "environment", "data-order"),
        either("PYTHONHASHSEED"),
        {'chars = sorted(list(set("".join(words))))  # all the possible characters':
         'chars = list(set("".join(words)))  # all the possible characters\n'},
    ),
}  # fmt: skip
CASES: tuple[tuple[str, str], ...] = (
    ("grad-bit-torch", "makemore"), ("grad-bit-torch", "vae"), ("grad-bit-torch", "dqn"),
    ("grad-bit-torch", "word-lm"),
    ("grad-bit-numpy", "mnist"), ("grad-bit-numpy", "reinforce"), ("grad-bit-numpy", "time-sequence"),
    ("batch-swap-list", "makemore"), ("batch-swap-loader", "vae"),
    ("sample-replaced", "mnist"), ("transition-replaced", "dqn"),
    ("library-loss", "vae"), ("library-clip", "makemore"),
    ("one-thread-more", "mnist"), ("one-thread-more", "makemore"),
    ("reseed-torch", "mnist"), ("reseed-torch", "word-lm"), ("reseed-numpy", "reinforce"), ("reseed-python", "dqn"),
    ("extra-draw-torch", "vae"), ("extra-draw-numpy", "reinforce"),
    ("learning-rate", "makemore"), ("learning-rate", "mnist"),
    ("weight-torch", "vae"), ("weight-numpy", "dqn"),
    ("race", "makemore"), ("determinism-off", "vae"),
    ("uninitialised", "vae"), ("uninitialised", "mnist"),
    ("clock-in-loss", "makemore"), ("clock-in-loss", "time-sequence"),
    ("vary-threads", "mnist"), ("vary-aten", "vae"), ("vary-mkl", "makemore"), ("vary-hash", "makemore"),
)  # fmt: skip
HELPER = {"1.0": ("0.5", "0.1"), "1.1": ("0.5001", "0.0999")}
"""Versions of the library that is imported at a step: what it scales a loss by, and the norm that it clips to."""


@dataclass(frozen=True)
class Planted:
    """A fault in a script: what is run, and what a report has to say."""

    name: str
    program: Program
    source: str
    step: int
    kinds: frozenset[str]
    causes: frozenset[str]
    lines: frozenset[str]
    """`file:line` of the fault and of its trigger."""
    symptoms: frozenset[str]
    trigger: str
    threads: int = 1
    vary: tuple[str, ...] = ()
    settings: frozenset[str] = frozenset()
    mentions: str = ""
    files: str = ""

    @property
    def expected(self) -> dict[str, Any]:
        found = {"step": self.step, "kind": sorted(self.kinds), "cause": sorted(self.causes), "trigger": self.trigger}
        more = {"where": sorted(self.lines), "or": sorted(self.symptoms), "setting": sorted(self.settings),
                "mentions": self.mentions}  # fmt: skip
        return {**found, **{name: value for name, value in more.items() if value}}

    def judge(self, told: Divergence) -> dict[str, bool]:
        """What of a report is right."""
        where = str(told.get("where") or "")
        words = " ".join(str(told.get(name) or "") for name in ("setting", "reason", "where"))
        named = self.mentions in words and (not self.settings or told.get("setting") in self.settings)
        own_file = bool(self.files) and where.startswith(self.files)
        return {
            "step": told.get("step") == self.step,
            "kind": told.get("kind") in self.kinds,
            "cause": told.get("cause") in self.causes and named,
            "where": bool(self.settings) or where in self.lines | self.symptoms or own_file,
        }


def plant(fault_name: str, program_name: str, seed: int) -> Planted:
    """Put a fault into a copy of a script, at a step and in a way that follow from the seed."""
    program, name = PROGRAMS[program_name], f"{fault_name}/{program_name}"
    draw = random.Random(f"{seed} {name}")
    text = (PUBLIC / program.file).read_text()
    if fault_name.startswith("vary-"):
        vary = VARIED[fault_name.removeprefix("vary-")]
        source = _edited(text, {}, vary.replaced)
        return Planted(
            name, program, source, 0, vary.kinds, vary.causes, frozenset(), frozenset(), "vary", vary=vary.words,
            settings=vary.settings,
        )  # fmt: skip
    fault, k = FAULTS[fault_name], draw.randint(*program.steps)
    if fault_name == "batch-swap-loader" and (k + 1) % 20 == 0:
        k -= 1  # there is no next batch after the last
    trigger = draw.choice(sorted({**VISIBLE, **SILENT})) if fault.triggered else ALWAYS
    condition = {**VISIBLE, **SILENT, ALWAYS: "True"}[trigger]
    at_start = draw.random() < 0.5
    double = program_name == "time-sequence"
    words = {
        **program.names, "k": k, "which": draw.choice((-1, -2)), "word": draw.randrange(10_000),
        "bit": draw.randint(13, 50 if double else 29), "integers": "int64" if double else "int32",
        "sample": draw.randrange(16), "other": draw.randrange(16, 32),
        "chance": "FIRE" if at_start else condition,
        "fire": f"STEP[0] == {k} and " + ("FIRE" if at_start else condition),
    }  # fmt: skip
    head = "import datetime, os, random, sys, time, uuid\nSTEP = [0]\n"
    if at_start and fault.triggered:
        head += f"FIRE = {condition}  #T\n"
    code = {place: lines.format_map(words).strip("\n") for place, lines in fault.code.items()}
    edits = {program.places["head"]: head + code.pop("head", "")}
    late = code.pop("after", "")
    edits |= {program.places[place]: lines for place, lines in code.items()}
    shared = ">" + program.late
    count = _deep(program, "STEP[0] += 1")
    edits[shared] = (late + "\n" if late else "") + count
    source = _edited(text, edits, {old: new.format_map(words) for old, new in fault.replaced.items()})
    silent = {"unknown"} if trigger in SILENT and not fault.own else set[str]()
    return Planted(
        name, program, _clean(source), k + fault.after, fault.kinds | (program.kinds if fault.code.keys() & {
            "backward", "loss"} else frozenset()), fault.causes | silent, _marked(source, program.file),
        _symptoms(source, program.file, fault.symptoms), trigger + (" at the start" if at_start and fault.triggered
                                                                    else ""),
        fault.threads, mentions=fault.mentions, files=fault.files,
    )  # fmt: skip


def _deep(program: Program, line: str) -> str:
    """A step of the word model is over when the loop over its parameters is."""
    return f"<{line}" if program.late.startswith("p.data") else line


def _edited(text: str, edits: Mapping[str, str], replaced: Mapping[str, str]) -> str:
    found, used = list[str](), set[str]()
    for line in text.split("\n"):
        plain = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        before, after, instead = edits.get("<" + plain), edits.get(">" + plain), replaced.get(plain)
        for key, lines in (("<" + plain, before), (plain, instead if instead is not None else None)):
            if lines is not None:
                used.add(key)
                found += _indented(lines, indent)
        if instead is None:
            found.append(line)
        if after is not None:
            used.add(">" + plain)
            found += _indented(after, indent)
    missing = (edits.keys() | replaced.keys()) - used
    assert not missing, f"the script has no line {missing}"
    return "\n".join(found)


def _indented(lines: str, indent: str) -> list[str]:
    """Lines at the depth of their place; `<` at the start of one takes four spaces away."""
    return [indent[4:] + line[1:] if line.startswith("<") else indent + line for line in lines.split("\n") if line]


def _marked(source: str, file: str) -> frozenset[str]:
    marks = ("#E", "#T")
    return frozenset(f"{file}:{at}" for at, line in enumerate(source.split("\n"), 1) if line.endswith(marks))


def _symptoms(source: str, file: str, texts: Iterable[str]) -> frozenset[str]:
    found = set()
    for text in texts:
        other, bar, line = text.rpartition("|")
        lines = (PUBLIC / other).read_text() if bar else source
        found |= {f"{other or file}:{at}" for at, one in enumerate(lines.split("\n"), 1) if one.strip() == line}
    return frozenset(found)


def _clean(source: str) -> str:
    return "\n".join(line.removesuffix("  #E").removesuffix("  #T") for line in source.split("\n"))


# Running


@dataclass(frozen=True)
class Machine:
    """A home and a store of our own, and the real command."""

    folder: Path

    def run(self, *words: str) -> tuple[int, Any, str]:
        """Exit code, the JSON that a command printed, and what it said."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder),
            "EXECUTOR_HOME": os.environ.get("EXECUTOR_HOME", str(self.folder / "home")),
            "EXECUTOR_STORE": os.environ.get("EXECUTOR_STORE", f"file:{self.folder / 'store'}"),
            **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
        }  # fmt: skip
        command = [sys.executable, "-m", "executor", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=Path(__file__).parent.parent
        )
        try:
            return done.returncode, json.loads(done.stdout), done.stderr
        except ValueError:
            sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")

    def submit(self, name: str, program: Program, source: str, threads: int) -> str:
        """Make a project of a script, and run it for the first time; gives the hash of its spec."""
        folder = Path(tempfile.mkdtemp(dir=self.folder)) / name.replace("/", "-")
        shutil.copytree(PUBLIC, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / program.file).write_text(source)
        for version, (scale, norm) in HELPER.items():
            package = folder / "vendor" / version / "helperlib"
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(
                f'from torch.nn.utils import clip_grad_norm_\n\n__version__ = "{version}"\n\n\n'
                f"def scaled(loss):\n    return loss * {scale}\n\n\n"
                f"def clip(parameters):\n    clip_grad_norm_(parameters, {norm})\n"
            )
        command = ["python", f"/code/{program.file}", *program.arguments]
        (folder / "spec.yaml").write_text(
            "version: 1\nname: planted\nimage: localhost/torch-cpu\ncode: {repo: .}\n"
            f"command: {json.dumps(command)}\nworkdir: /outputs\nseed: 20260101\ngpu: none\n"
            f"cpu: {{threads: {threads}}}\n"
            "resources: {memory: 2GiB, shm: 256MiB, timeout: 5m}\n"
        )
        author = ["-c", "user.name=planted", "-c", "user.email=planted@example.org"]
        for words in (["init", "--quiet"], ["add", "--all"], [*author, "commit", "--quiet", "--message=planted"]):
            subprocess.run(["git", *words], cwd=folder, check=True)
        code, view, said = self.run("submit", "--lock", "--json", str(folder / "spec.yaml"))
        if code != 0:
            sys.exit(f"{name}: the script itself failed, so the fault is badly planted\n{said}")
        return str(view["spec_hash"])


def false_alarms(machine: Machine) -> Iterator[dict[str, Any]]:
    """Reruns of scripts as they are."""
    for name in ("makemore", "mnist", "vae", "time-sequence", "dqn"):
        program = PROGRAMS[name]
        spec_hash = machine.submit(name, program, (PUBLIC / program.file).read_text(), 1)
        for _ in range(RERUNS):
            started = time.monotonic()
            _, view, _ = machine.run("rerun", "--json", spec_hash)
            row = {"program": name, "verdict": view["verdict"], "predicted": _predicted(view),
                   "wall_s": round(time.monotonic() - started, 2)}  # fmt: skip
            print(f"identical/{name:<14} {row['verdict']:<10} predicted {row['predicted']}, {row['wall_s']} s",
                  flush=True)  # fmt: skip
            yield row


def _predicted(view: Mapping[str, Any]) -> str:
    said = view["prediction"]
    return f"{said['value']}/{said['rule']}" if said else "nothing"


def strike(machine: Machine, planted: Planted) -> dict[str, Any]:
    """Run a planted script until a rerun differs; hold what is reported against what was planted."""
    started = time.monotonic()
    spec_hash = machine.submit(planted.name, planted.program, planted.source, planted.threads)
    varied = [f"--vary={word}" for word in planted.vary]
    predictions = list[tuple[str, str]]()
    view: dict[str, Any] = {}
    for _ in range(1 if varied else TRIES):
        _, view, _ = machine.run("rerun", "--diagnose", "--json", *varied, spec_hash)
        predictions.append((_predicted(view), str(view["verdict"] or view["status"])))
        if view["verdict"] == "different":
            break
    row: dict[str, Any] = {
        "case": planted.name, "spec_hash": spec_hash, "expected": planted.expected, "predictions": predictions,
        "wall_s": round(time.monotonic() - started, 1), "struck": view["verdict"] == "different",
    }  # fmt: skip
    if row["struck"]:
        # the record has what was inferred without --diagnose, the view what the diagnosis made of it
        for how, told in (("inferred", view["comparison"]["divergence"]), ("diagnosed", view["divergence"])):
            row[how] = {"ok": planted.judge(told), "got": told}
    _show(planted, row)
    return row


def _show(planted: Planted, row: Mapping[str, Any]) -> None:
    predicted = ", ".join(f"{said} → {came}" for said, came in row["predictions"])
    lines = [f"{planted.name:<32} step {planted.step:>2} {'/'.join(sorted(planted.causes))}, by {planted.trigger}; "
             f"{row['wall_s']} s; predicted {predicted}"]  # fmt: skip
    if not row["struck"]:
        lines.append("    never differed")
    for how in ("inferred", "diagnosed"):
        if how in row:
            got, ok = row[how]["got"], row[how]["ok"]
            marks = " ".join(("+" if right else "-") + what for what, right in ok.items())
            lines.append(f"    {how:<9} {marks}: step {got['step']}, {got['kind']}, {got['cause']}, {got['where']}, "
                         f"{got['setting']}{', confirmed' if got['confirmed'] else ''}: {got['reason']}")  # fmt: skip
    print("\n".join(lines), flush=True)


def totals(rows: list[dict[str, Any]], plain: list[dict[str, Any]]) -> dict[str, Any]:
    """The score."""
    struck = [row for row in rows if row["struck"]]
    said = [pair for row in rows for pair in row["predictions"]] + [(one["predicted"], one["verdict"]) for one in plain]

    def share(how: str, what: str) -> str:
        return f"{sum(row[how]['ok'][what] for row in struck)}/{len(struck)}"

    return {
        "cases": len(rows), "struck": len(struck),
        **{how: {what: share(how, what) for what in ("step", "kind", "cause", "where")}
           | {"all": f"{sum(all(row[how]['ok'].values()) for row in struck)}/{len(struck)}"}
           for how in ("inferred", "diagnosed")},
        "confirmed": sum(row["diagnosed"]["got"]["confirmed"] for row in struck),
        "confirmed_but_wrong": [row["case"] for row in struck if row["diagnosed"]["got"]["confirmed"]
                                and not row["diagnosed"]["ok"]["cause"]],
        "unchanged_reruns": len(plain), "false_alarms": sum(one["verdict"] != "identical" for one in plain),
        "predictions": len(said),
        "false_identical": sum(one.startswith("identical") and came == "different" for one, came in said),
        "false_different": sum(one.startswith("different") and came == "identical" for one, came in said),
    }  # fmt: skip


def main() -> None:
    """Run everything, print it, and write the results when nothing was left out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted")
    parser.add_argument("--seed", type=int, default=20261124, help="draws steps, bits and triggers")
    parser.add_argument("--only", default="", metavar="NAME", help="part of a case's name, or `identical`")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--show", action="store_true", help="print the planted scripts and run nothing")
    told = parser.parse_args()
    print(f"seed {told.seed}", flush=True)
    planted = [plant(fault, program, told.seed) for fault, program in CASES if told.only in f"{fault}/{program}"]
    if told.show:
        for one in planted:
            print(f"# {one.name}: {json.dumps(one.expected)}\n{one.source}")
        return
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        machine, rows, plain = Machine(Path(name)), list[dict[str, Any]](), list[dict[str, Any]]()

        def write() -> None:
            document = {"seed": told.seed, "totals": totals(rows, plain), "cases": rows, "unchanged": plain}
            told.write.write_text(json.dumps(document, indent=1) + "\n")

        for one in planted:
            rows.append(strike(machine, one))
            if not told.only:
                write()
        if told.only in ("", "identical"):
            plain += false_alarms(machine)
        if not told.only or told.write != RESULTS:
            write()
        print(json.dumps(totals(rows, plain), indent=1))


if __name__ == "__main__":
    main()
