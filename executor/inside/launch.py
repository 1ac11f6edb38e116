"""Check the container, write down what it is, and become the user's command."""

from __future__ import annotations

import os
import signal
import sys

from . import cuda, probe, report


def main(arguments: list[str]) -> int:
    """Exit status when the command was not started: 97 refused, 127 not found, 126 not executable.

    `tensors` and `numeric` are tools that run in place of a command.
    """
    if arguments == ["tensors"]:
        from . import tensors

        return tensors.main([])
    if arguments == ["numeric"]:
        from . import numeric

        return numeric.main()
    plan = report.plan()
    facts, no_gpu = probe.container(), ""
    try:
        facts["gpus"] = cuda.gpus()
    except cuda.NoGpu as error:
        no_gpu = str(error)
    findings = probe.check(plan["expect"], facts, probe.cpu_flags(), no_gpu)
    refused = report.judge(findings, plan["allow"])
    report.publish(["launch.json"], dict(facts, findings=findings))
    if refused:
        return report.REFUSED
    os.chdir(plan["workdir"])
    os.umask(0o022)
    return become(arguments[1:] if arguments[:1] == ["--"] else arguments)


def become(command: list[str]) -> int:
    """Replace this process by `command`; returns what a shell would when it cannot be run."""
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these two, and a program inherits what is ignored
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        status, problem = 127, "not found"
    except OSError as error:
        status, problem = 126, str(error.strerror)
    print("executor: %s: %s" % (command[0], problem), file=sys.stderr)
    return status
